"""A lack of room on the disk, which every library words its own way, as one error."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resnexus.errors import ResnexusError, printable


class NoSpaceError(ResnexusError):
    """What was to be written does not fit on the disk: no measurement, and another day it may fit."""


_NUMBERS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_WORDS = re.compile(r"no space left|disk quota exceeded|file too large|disk is full", re.IGNORECASE)
# OpenVINO says "iostream error", ONNX "1048576 requested and 86176 written": then the disk itself is asked.
_FULL_BYTES = 1 << 20


@contextmanager
def space_errors(folder: Path) -> Iterator[None]:
    """Turn what fails for want of room into one error.

    Args:
        folder: where the block writes.

    Raises:
        NoSpaceError: the block failed and the system says that the disk is full, or it is.
    """
    try:
        yield
    except NoSpaceError:
        raise
    except Exception as error:
        if not is_about_space(error) and not (_says_nothing(error) and _is_full(folder)):
            raise
        raise NoSpaceError(
            f"no space left on the disk of {printable(folder)}: make room there, give another cache_dir or set "
            "RESNEXUS_HOME"
        ) from error


def is_about_space(error: BaseException | None) -> bool:
    """Whether an error, or one that it came from, is a full disk's."""
    while error is not None:
        number = error.errno if isinstance(error, OSError) else None
        if number in _NUMBERS or _WORDS.search(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def _says_nothing(error: BaseException) -> bool:
    """Whether the system gave no reason of another kind, as it does for a folder that may not be written."""
    reasons = (error, error.__cause__)
    return all(reason.errno is None for reason in reasons if isinstance(reason, OSError))


def _is_full(folder: Path) -> bool:
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize < _FULL_BYTES
