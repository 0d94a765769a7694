"""Whose files may be loaded as code."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from resnexus.errors import ResnexusError, printable

_OTHERS = {stat.S_IWGRP: "its group", stat.S_IWOTH: "everybody"}


class TrustError(ResnexusError):
    """A file or folder that somebody else could have written, where what it holds runs as code."""


def check_own(path: Path, descriptor: int | None = None) -> None:
    """Check that nobody but this user and root could have written a file or folder, as ssh does with its keys.

    Args:
        path: the file or folder; a symbolic link counts as what it points to.
        descriptor: of the opened file, so that what is checked is what is read; None opens nothing.

    Raises:
        TrustError: it belongs to somebody else, or its group or others may write it; names the path, whose it is, and
            what mends it.
        OSError: there is no such file.
    """
    found = path.stat() if descriptor is None else os.fstat(descriptor)
    if found.st_uid not in (os.getuid(), 0):
        raise TrustError(
            f"{printable(path)} belongs to {_user(found.st_uid)}, and what is in it would run as {_user(os.getuid())}: "
            f"remove it, or choose another folder"
        )
    writers = [name for bit, name in _OTHERS.items() if found.st_mode & bit]
    if writers:
        raise TrustError(
            f"{printable(path)} of {_user(found.st_uid)} can be written by {' and '.join(writers)}, and what is in it "
            f"would run as {_user(os.getuid())}: check it, then chmod go-w {printable(path)}"
        )


def _user(number: int) -> str:
    import pwd

    try:
        return f"user {pwd.getpwuid(number).pw_name}"
    except KeyError:
        return f"user {number}"
