"""Built networks on disk: checked before every use, and the least recently used of them removed beyond a size."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
import warnings
import weakref
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import final

from resnexus.acceleration.planning.space import is_about_space, space_errors
from resnexus.errors import ResnexusError, printable
from resnexus.records import RecordError, read_json, to_json
from resnexus.trust import check_own

REMOVED = ".being-removed-"
"""How the names of folders begin that are being removed, or could not be."""

_MANIFEST = "manifest.json"


class CacheWarning(UserWarning):
    """Something in the cache was damaged and is made again, or could not be kept."""


class CacheError(ResnexusError):
    """A cache that cannot be read or written."""


@dataclass(frozen=True)
class _Manifest:
    """What a built network consists of.

    Attributes:
        files: path below its folder, with slashes -> SHA-256.
    """

    files: dict[str, str]


@final
class Held:
    """A folder that is held open: nobody who looks for room removes it, and its path stays its own.

    Attributes:
        folder: as it was given.
        path: leads to the folder that was opened, whatever is renamed or put in its place meanwhile, as long as this
            object lives. (Only where the system has /proc: elsewhere it is `folder`.)
        descriptor: of the folder that was opened.

    Raises:
        OSError: it is not there, is no folder, or cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = self.path = folder
        while True:
            descriptor = self.descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            closing = weakref.finalize(self, os.close, descriptor)
            with suppress(OSError):  # a file system without locks: then nothing is removed there either
                fcntl.flock(descriptor, fcntl.LOCK_SH)
            if os.path.samestat(os.fstat(descriptor), folder.stat()):
                break
            closing()  # it was removed while we waited for the lock
        own = Path(f"/proc/self/fd/{descriptor}")
        if own.exists():
            self.path = own


@final
class Builds:
    """A folder of built networks.

    Args:
        folder: made on first use.
        most_bytes: what all of them together may take; the one that was used last stays whatever its size.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self.folder, self.most_bytes = folder, most_bytes
        self._held: dict[str, Held] = {}

    def find(self, name: str) -> Path | None:
        """Return a path to a built network, or None; a damaged one is None with a `CacheWarning`, and put aside.

        The files are read and compared with their digests once in the life of this object, which then holds them:
        what a back end loads through the path is what was checked.

        Raises:
            TrustError: it is somebody else's, or others may write there.
            CacheError: it cannot be read.
        """
        if name in self._held:
            return self._held[name].path
        folder = self.folder / name
        try:
            held = Held(folder)
        except FileNotFoundError:
            return None
        except OSError as error:
            if not folder.is_dir() or folder.is_symlink():
                self._damaged(folder, "it is no folder")
                return None
            raise CacheError(f"cannot read {printable(folder)}: {error.strerror}") from error
        problem = _problem(held)
        if problem is not None:
            del held
            self._damaged(folder, problem)
            return None
        with suppress(OSError):  # one that may only be read is never removed by us either
            os.utime(held.path / _MANIFEST)
        self._held[name] = held
        return held.path

    def keep(self, name: str, built: Path) -> Path:
        """Move a built network to its place, and return a path to what is there then.

        What another process put there meanwhile stays, if it is whole. Where that is damaged and cannot be removed,
        the path is that of `built`, with a `CacheWarning`.

        Args:
            name: its name from now on.
            built: a folder on the same disk, that only we can write.

        Raises:
            CacheError: the folder cannot be written.
            NoSpaceError: the disk is full.
        """
        target = self.folder / name
        with space_errors(self.folder):
            try:
                _seal(built)
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                check_own(self.folder)
                return self._moved(built, target)
            except OSError as error:
                if is_about_space(error):
                    raise
                raise unwritable(self.folder, error) from error

    def remove_all(self) -> int:
        """Remove every built network that no other is just opening, and return how many bytes they took."""
        self._held.clear()
        return sum(entry.size for entry in self._entries() if self._remove(entry.folder))

    def _moved(self, built: Path, target: Path) -> Path:
        try:
            os.replace(built, target)
        except OSError:
            if not target.is_dir():
                raise
            found = self.find(target.name)  # a folder with files is not replaced: another process was first
            if found is not None:
                return found
            try:
                os.replace(built, target)  # what was there was damaged, and is out of the way
            except OSError as error:
                _warn(f"what was built is not kept: {printable(target)} cannot be replaced ({error.strerror})")
                return built
        self._held[target.name] = Held(target)
        self._make_room()
        return self._held[target.name].path

    def _make_room(self) -> None:
        entries = sorted(self._entries(), key=lambda entry: entry.used)
        total = sum(entry.size for entry in entries)
        for entry in entries[:-1]:
            if total <= self.most_bytes:
                return
            if self._remove(entry.folder):
                total -= entry.size

    def _entries(self) -> list[_Entry]:
        found = []
        with suppress(FileNotFoundError):
            for folder in self.folder.iterdir():
                with suppress(OSError):  # another process may be removing it
                    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
                    found.append(_Entry(folder, (folder / _MANIFEST).stat().st_mtime, sum(sizes)))
        return found

    def _remove(self, folder: Path) -> bool:
        """Remove a folder unless somebody holds it; return whether it is gone."""
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return _put_aside(folder)
        except OSError:  # held
            return False
        finally:
            os.close(descriptor)

    def _damaged(self, folder: Path, problem: str) -> None:
        _warn(f"the built network {printable(folder)} is damaged ({problem}); building it again")
        _put_aside(folder)


@dataclass(frozen=True)
class _Entry:
    folder: Path
    used: float
    size: int


def unwritable(folder: Path, error: OSError) -> CacheError:
    """Return the error for a folder of the cache that the system does not let us write."""
    return CacheError(
        f"cannot write to {printable(folder)}: {error.strerror}; give another cache_dir or set RESNEXUS_HOME"
    )


def _warn(message: str) -> None:
    warnings.warn(message, CacheWarning, stacklevel=5)


def _put_aside(folder: Path) -> bool:
    """Take a folder away at once, then remove what is in it; return whether its name is free."""
    try:
        aside = Path(tempfile.mkdtemp(prefix=REMOVED, dir=folder.parent.parent))
    except OSError:
        return False
    try:
        folder.rename(aside / folder.name)
    except OSError:
        return False
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return True


def _seal(folder: Path) -> None:
    """Write down what a built network consists of, and close it to other users whatever the umask was."""
    (folder / _MANIFEST).write_text(to_json(_Manifest(_digests(folder))), encoding="utf-8")
    folder.chmod(0o700)
    for path in folder.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)


def _digests(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != _MANIFEST:
            with path.open("rb") as file:
                found[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def _problem(held: Held) -> str | None:
    """Return what is wrong with a built network, or None.

    Raises:
        TrustError: it is somebody else's, or others may write there.
    """
    check_own(held.folder, held.descriptor)
    try:
        for path in held.path.rglob("*"):
            if path.is_symlink():
                return f"{printable(path.name)} is a link"
            _check(path, held.folder / path.relative_to(held.path))
        expected = read_json(_Manifest, held.path / _MANIFEST).files
        found = _digests(held.path)
    except RecordError as error:
        return f"its manifest cannot be read: {error}"
    except OSError as error:
        return f"a file cannot be read: {error.strerror}"
    if found.keys() != expected.keys():
        return "files are missing or left over"
    changed = [name for name, value in found.items() if value != expected[name]]
    return f"changed: {', '.join(map(printable, changed))}" if changed else None


def _check(path: Path, shown: Path) -> None:
    """Check whose a file or folder is, and name it as it is known."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        check_own(shown, descriptor)
    finally:
        os.close(descriptor)
