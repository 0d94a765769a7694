"""Where an image comes from, what errors call it, and how it is opened: regular files only, so that nothing blocks."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, TypeAlias

from resnexus.data.error_codes import ErrorCode
from resnexus.errors import ResnexusError, printable

Source: TypeAlias = str | os.PathLike[str] | bytes | IO[bytes]

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class ImageError(ResnexusError):
    """An image that cannot be decoded.

    Attributes:
        source: the path, with what is not printable as escapes, or what was given instead of one.
        reason: what is wrong with it.
        fix: what to do about it.
        fault: the kind of what is wrong.
    """

    def __init__(self, source: str, reason: str, fix: str, fault: ErrorCode = ErrorCode.DAMAGED) -> None:
        super().__init__(source, reason, fix, fault)
        self.source, self.reason, self.fix, self.fault = source, reason, fix, fault

    def __str__(self) -> str:
        return f"cannot read image {self.source}: {self.reason}; {self.fix}"


def name_of(source: object) -> str:
    """Return what errors call a source, or an image that is decoded already."""
    if isinstance(source, bytes):
        return f"of {len(source)} bytes"
    if isinstance(source, (str, os.PathLike)):
        path = os.fspath(source)
        return path if isinstance(path, str) and path.isprintable() else printable(path)
    return printable(getattr(source, "name", "from a file object")) if hasattr(source, "read") else "from memory"


@contextmanager
def opened(source: Source) -> Iterator[IO[bytes]]:
    """Open a source as a binary file; one that was open is left so.

    Raises:
        ImageError: there is no such file, it may not be read, or it is no regular file.
        ResnexusError: it is neither a path nor bytes nor a seekable binary file.
    """
    if isinstance(source, bytes):
        yield BytesIO(source)
    elif isinstance(source, (str, os.PathLike)):
        with _regular(Path(source)) as file:
            yield file
    elif hasattr(source, "read") and hasattr(source, "seek"):
        yield source
    else:
        raise ResnexusError(
            f"image of type {type(source).__name__}: expected a path, the bytes of a file or a seekable binary file"
        )


def _regular(path: Path) -> IO[bytes]:
    name = name_of(path)
    try:
        _check_kind(name, path.stat().st_mode)
        # A pipe that has taken the file's place since would block; the check of what was opened then finds it.
        file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115  # the caller closes it
    except ImageError:
        raise
    except FileNotFoundError as error:
        reason = f"a link to {printable(path.readlink())}, which is missing" if path.is_symlink() else "no such file"
        raise ImageError(name, reason, "check the path", ErrorCode.NOT_FOUND) from error
    except PermissionError as error:
        raise ImageError(name, "permission denied", "make the file readable", ErrorCode.NOT_READABLE) from error
    except (OSError, ValueError) as error:  # a link to itself, a name that is too long; a zero byte in the name
        reason = str(getattr(error, "strerror", None) or error)
        raise ImageError(name, reason, "check the path", ErrorCode.NOT_READABLE) from error
    try:
        _check_kind(name, os.fstat(file.fileno()).st_mode)
    except ImageError:
        file.close()
        raise
    return file


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_kind(name: str, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = next((kind for is_kind, kind in _KINDS if is_kind(mode)), "no regular file")
        raise ImageError(name, f"it is {kind}", "give an image file", ErrorCode.NOT_A_FILE)
