"""The folder of a comparison: whether it may be written, and that one process at a time does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resnexus.errors import ResnexusError, printable
from resnexus.progress import Progress
from resnexus.report.document import is_report

LOCK = ".lock"


@contextmanager
def claimed(out: Path, progress: Progress) -> Iterator[None]:
    """Hold a folder for one comparison; another process that compares in it is waited for.

    Args:
        out: made if it is missing.
        progress: is told who waits.

    Raises:
        ResnexusError: the folder cannot be made or written, or it holds an `index.html` that is not a report.
    """
    from filelock import FileLock, Timeout

    _check_page(out)
    lock = FileLock(out / LOCK)
    try:
        out.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            progress.say(f"another process compares in {printable(out)}: waiting until it is done")
            lock.acquire()
    except OSError as error:
        raise ResnexusError(
            f"cannot write {printable(out)}: {error.strerror or error}. Choose another folder or make room"
        ) from error
    try:
        _check_page(out)
        yield
    finally:
        lock.release()


def _check_page(out: Path) -> None:
    page = out / "index.html"
    if page.exists() and not is_report(page):
        raise ResnexusError(
            f"{printable(page)} is no report of ours and is not overwritten: choose another folder, or move it away"
        )
