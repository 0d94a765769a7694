"""The folder of a comparison: whether its page may be written, and that one process at a time does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resnexus.claim import claimed
from resnexus.errors import ResnexusError, printable
from resnexus.progress import Progress
from resnexus.report.document import is_report


@contextmanager
def claimed_for_report(out: Path, progress: Progress) -> Iterator[None]:
    """Hold a folder for one comparison; another process that compares in it is waited for.

    Args:
        out: made if it is missing.
        progress: is told who waits.

    Raises:
        ResnexusError: as `resnexus.claim.claimed`, or the folder holds an `index.html` that is not a report.
    """
    _check_page(out)
    with claimed(out, busy="another process compares in", wait=progress):
        _check_page(out)
        yield


def _check_page(out: Path) -> None:
    page = out / "index.html"
    if page.exists() and not is_report(page):
        raise ResnexusError(
            f"{printable(page)} is no report of ours and is not overwritten: choose another folder, or move it away"
        )
