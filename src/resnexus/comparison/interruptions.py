"""What an interrupted training of a comparison says, and what it goes on from."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Protocol

from resnexus.training.stopping import Stopped, heard_by


class _Job(Protocol):
    @property
    def name(self) -> str: ...


def unfinished_path(job: _Job, out: Path) -> Path:
    """Where a training keeps what it goes on from; nothing is there once the training is finished."""
    return out / "unfinished" / job.name


def remove_unfinished(job: _Job, out: Path) -> None:
    """Remove what a training would go on from, and the folder of all such if it is then empty."""
    path = unfinished_path(job, out)
    shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):  # others go on from there, or there is none
        path.parent.rmdir()


@contextmanager
def stoppable(out: Path) -> Iterator[None]:
    """Let SIGTERM end the block as `Stopped`, whatever runs in it; a training hears it itself and is kept first.

    Outside the main thread, to which alone Python delivers signals, the block runs as it is.

    Args:
        out: the folder from which the same call goes on.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped(out)

    before = signal.getsignal(signal.SIGTERM)
    heard_by(stop)
    try:
        yield
    finally:
        heard_by(before)


@contextmanager
def goes_on_later(title: str) -> Iterator[None]:
    """Note on whatever ends the training in the block that it goes on later.

    Args:
        title: what the training is called in print.
    """
    try:
        yield
    except Stopped:  # says so itself
        raise
    except BaseException as error:  # an interruption may surface as another one
        error.add_note(going_on([title]))
        raise


def going_on(titles: Iterable[str]) -> str:
    """Say of trainings that they go on later."""
    first, *others = titles
    if not others:
        return f"the training of {first} goes on after its last whole epoch"
    return f"the trainings of {'; '.join([first, *others])} go on after their last whole epochs"
