"""All trainings of a comparison: those that were done before, and the others now, one or several at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol, TypeVar

from resnexus.comparison.interruptions import goes_on_later, remove_unfinished
from resnexus.comparison.processes import Job, train_at_a_time
from resnexus.progress import Progress


class _Named(Job, Protocol):
    @property
    def name(self) -> str: ...


J = TypeVar("J", bound=_Named)
R = TypeVar("R")


def each_run(
    jobs: Iterable[J],
    out: Path,
    progress: Progress,
    *,
    finished: Callable[[J, Path], R | None],
    train: Callable[[J, Path, Progress, str], R],
    processes: int = 1,
) -> Iterator[tuple[J, R]]:
    """Return every job with its run: the one that `out` holds, or else that of a training now.

    Args:
        jobs: in the order of their trainings.
        out: folder of the comparison.
        progress: where to report.
        finished: returns the run that a folder holds of a job, if it does.
        train: trains a job in a folder and keeps its run there; its last argument is what the job is called in print.
        processes: trainings at a time; several have a process each, and are all done before the first is returned.
    """
    jobs = list(jobs)
    before = {job.name: finished(job, out) for job in jobs}
    left = [job for job in jobs if before[job.name] is None]
    together = processes > 1 and len(left) > 1
    if together:
        train_at_a_time(left, out, progress, train=train, processes=processes)
    for number, job in enumerate(jobs, start=1):
        run = before[job.name]
        if run is not None:
            progress.say(f"{job.title}: finished before, kept")
            remove_unfinished(job, out)  # of a process that was killed just then
        elif together:
            run = finished(job, out)
        if run is None:
            with goes_on_later(job.title):
                run = train(job, out, progress, f"{job.title} ({number} of {len(jobs)})")
        yield job, run
