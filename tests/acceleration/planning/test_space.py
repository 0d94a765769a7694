from __future__ import annotations

import errno
import os

import pytest

from resnexus.acceleration.planning import space
from resnexus.acceleration.planning.space import NoSpaceError, space_errors

FULL = os.statvfs_result((4096, 4096, 1000, 10, 10, 1000, 10, 10, 0, 255))
NOT_FULL = os.statvfs_result((4096, 4096, 10**6, 10**6, 10**6, 1000, 10, 10, 0, 255))


def _caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        OSError(errno.EFBIG, "File too large"),
        RuntimeError("g++: fatal error: error writing to /tmp/x.s: No space left on device"),
        _caused(RuntimeError("compilation failed"), OSError(errno.ENOSPC, "No space left on device")),
    ],
)
def test_what_the_system_says_of_a_full_disk_is_one_error(error, tmp_path, monkeypatch):
    monkeypatch.setattr(space.os, "statvfs", lambda path: NOT_FULL)
    with (
        pytest.raises(NoSpaceError, match=rf"no space left on the disk of {tmp_path}: make room"),
        space_errors(tmp_path),
    ):
        raise error


@pytest.mark.parametrize(
    "error", [RuntimeError("basic_ios::clear: iostream error"), OSError("147456 requested and 86176 written")]
)
def test_a_library_that_says_nothing_is_believed_by_the_disk(error, tmp_path, monkeypatch):
    monkeypatch.setattr(space.os, "statvfs", lambda path: FULL)
    with pytest.raises(NoSpaceError, match=r"no space left"), space_errors(tmp_path):
        raise error
    monkeypatch.setattr(space.os, "statvfs", lambda path: NOT_FULL)
    with pytest.raises(type(error), match=str(error)), space_errors(tmp_path):
        raise error


def test_another_reason_stays_what_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(space.os, "statvfs", lambda path: FULL)
    with pytest.raises(PermissionError), space_errors(tmp_path):
        raise PermissionError(errno.EACCES, "Permission denied")
    with pytest.raises(NoSpaceError, match=r"^as it was$"), space_errors(tmp_path):
        raise NoSpaceError("as it was")
