"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resnexus.errors import ResnexusError


@contextmanager
def replacing(path: Path, error: type[ResnexusError] = ResnexusError) -> Iterator[Path]:
    """Yield a path beside `path` to write to; it takes the place of `path` if the block succeeds.

    Args:
        path: the file; its folder is made if it is missing.
        error: what to raise.

    Raises:
        ResnexusError: the system refuses, in the block or at the end; names the path and the system's reason.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb+") as file:  # a power cut must not leave a file of zeros under the right name
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as cause:
        raise error(f"cannot write {path}: {cause.strerror or cause}. Choose another folder or make room") from cause
    finally:
        if temporary.exists():
            temporary.unlink()


def check_writable(folder: Path) -> None:
    """Make a folder if it is missing, and see whether a file can be written there: now, not after hours of work.

    Raises:
        ResnexusError: the system refuses; names the path and the system's reason.
    """
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
