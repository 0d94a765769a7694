"""One process at a time in a folder that is written to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resnexus.errors import ResnexusError, printable
from resnexus.files import refusal
from resnexus.progress import Progress

LOCK = ".lock"


@contextmanager
def claimed(folder: Path, *, busy: str, wait: Progress | None = None) -> Iterator[None]:
    """Hold a folder while the block runs.

    Args:
        folder: made if it is missing.
        busy: what another process does that holds it, e.g. `"another process trains in"`.
        wait: where to say that the other one is waited for; without it that is an error.

    Raises:
        ResnexusError: the folder cannot be made or written, or it is held and not waited for.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK)
    held = f"{busy} {printable(folder)}: "
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            if wait is None:
                raise ResnexusError(f"{held}wait for it, or give another folder") from error
            wait.say(f"{held}waiting until it is done")
            lock.acquire()
    except OSError as error:
        raise ResnexusError(refusal(folder, error)) from error
    try:
        yield
    finally:
        lock.release()
