"""Files that are written whole or not at all."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from resnexus.errors import ResnexusError, printable

_UNFINISHED = re.compile(r"\..+\.[a-z0-9_]{8}\.new")
"""Folders in which a file is written until it is whole, as `_workplace` names them: `.NAME.RANDOM.new`."""

_swept: set[Path] = set()


@contextmanager
def replacing(path: Path, error: type[ResnexusError] = ResnexusError, *, mode: int | None = None) -> Iterator[Path]:
    """Yield a path to write to; what lies there takes the place of `path` if the block succeeds.

    The path is in a folder of its own beside `path`, whose name nobody can foresee and where nobody else may write. The
    file gets its permissions at the end, whatever its writer gives it.

    Args:
        path: the file; its folder is made if it is missing.
        error: what to raise.
        mode: permissions of the file; those that any new file gets if None.

    Raises:
        ResnexusError: a folder lies there, or the system refuses, in the block or at the end; names the path and the
            reason.
    """
    if os.path.isdir(path) and not os.path.islink(path):  # which the system would tell when the work is done
        raise error(f"cannot write {printable(path)}: it is a folder. Choose another name, or move it away")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _workplace(path) as folder:
            permissions = _usual_mode(folder) if mode is None else mode
            temporary = folder / path.name
            yield temporary
            temporary.chmod(permissions)
            _sync(temporary)  # a power cut must not leave a file of zeros under the right name
            temporary.replace(path)
        with suppress(OSError):  # the file is there; some file systems cannot be told to keep a name
            _sync(path.parent)
    except OSError as cause:
        raise error(refusal(path, cause)) from cause


def refusal(path: Path, cause: OSError) -> str:
    """Return the sentence for a place that the system refuses to write, with its reason."""
    reason = str(cause.strerror or cause)
    if isinstance(cause, FileExistsError) and cause.filename and not os.path.isdir(cause.filename):
        reason = f"{printable(cause.filename)} is no folder"
    return f"cannot write {printable(path)}: {reason}. Choose another folder or make room"


def check_writable(folder: Path) -> None:
    """Make a folder if it is missing, and see whether a file can be written there: now, not after hours of work.

    Raises:
        ResnexusError: the system refuses; names the path and the system's reason.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise ResnexusError(refusal(folder, cause)) from cause
    with replacing(folder / ".writable") as temporary:
        temporary.touch()
    (folder / ".writable").unlink()


def write_text(text: str, path: Path) -> None:
    """Write UTF-8 `text` to `path`, whole or not at all; errors as for `replacing`."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(content: bytes, path: Path) -> None:
    """Write `content` to `path`, whole or not at all; errors as for `replacing`."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def sweep(folder: Path) -> None:
    """Remove what killed processes were writing in a folder; what is being written is left alone.

    `replacing` does it once for every folder that a process writes to.
    """
    for left in folder.iterdir():
        if _UNFINISHED.fullmatch(left.name):
            with suppress(OSError):  # no folder, or not ours
                lock = _opened(left)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(left)
                finally:
                    os.close(lock)


@contextmanager
def _workplace(path: Path) -> Iterator[Path]:
    """Make a folder to write `path` in, locked as long as the process lives, and remove it afterwards."""
    parent = path.parent.resolve()
    if parent not in _swept:
        _swept.add(parent)
        with suppress(OSError):
            sweep(parent)
    folder, lock = _unforeseen(path), None
    try:  # from here on, since an interruption may come as soon as the folder is there
        while (lock := _made(folder)) is None:
            folder = _unforeseen(path)
        yield folder
    finally:
        try:
            shutil.rmtree(folder, ignore_errors=True)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)  # an interruption ended the first
            raise
        finally:
            if lock is not None:
                os.close(lock)


def _unforeseen(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")


def _made(folder: Path) -> int | None:
    """Make a folder, and return what holds a lock on it until it is closed or the process dies.

    None if there was one already, or a sweep of another process came between.
    """
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        return None
    with suppress(FileNotFoundError):
        lock = _opened(folder)
        with suppress(OSError):  # where the file system has no locks, nothing is swept either
            fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.is_dir():
            return lock
        os.close(lock)
    return None


def _opened(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _usual_mode(folder: Path) -> int:
    """Return the permissions of a new file: those that the process's umask leaves."""
    probe = folder / ".mode"
    descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        return os.fstat(descriptor).st_mode & 0o777
    finally:
        os.close(descriptor)
        probe.unlink()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
