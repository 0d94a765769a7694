"""The trainings of a comparison, one after the other; what an interrupted one says, and what it goes on from."""

from __future__ import annotations

import shutil
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Protocol, TypeVar

from resnexus.progress import Progress
from resnexus.training.stopping import Stopped


class _Job(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...


J = TypeVar("J", bound=_Job)
R = TypeVar("R")


def each_run(
    jobs: Iterable[J],
    out: Path,
    progress: Progress,
    *,
    finished: Callable[[J, Path], R | None],
    train: Callable[[J, Path, Progress, str], R],
) -> Iterator[tuple[J, R]]:
    """Return every job with its run: the one that `out` holds, or else that of a training now.

    Args:
        jobs: in the order of their trainings.
        out: folder of the comparison.
        progress: where to report.
        finished: returns the run that a folder holds of a job, if it does.
        train: trains a job in a folder and keeps its run there; its last argument is what the job is called in print.
    """
    jobs = list(jobs)
    for number, job in enumerate(jobs, start=1):
        run = finished(job, out)
        if run is None:
            with goes_on_later(job.title):
                run = train(job, out, progress, f"{job.title} ({number} of {len(jobs)})")
        else:
            progress.say(f"{job.title}: finished before, kept")
            remove_unfinished(job, out)  # of a process that was killed just then
        yield job, run


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
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped(out)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


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
        error.add_note(f"the training of {title} goes on after its last whole epoch")
        raise
