"""Trainings at the same time, each in a process of its own with one thread.

A small network on small images gains little from a second thread: at every layer the threads wait for each other, and
much longer where another program wants the same core. A second training gains a whole core.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch

from resnexus.benchmark.ranges import whole
from resnexus.comparison.interruptions import going_on
from resnexus.errors import ResnexusError
from resnexus.progress import Advance, Progress
from resnexus.training.hardware import hardware
from resnexus.training.stopping import STOPPED_EXIT_CODE, Stopped

MOST = 8
"""Processes that are started without being asked for: each takes about a gigabyte."""
_PRELOADED = ["resnexus.comparison.processes", "resnexus.training.train", "lightning.pytorch"]


class Job(Protocol):
    """A training, which can be handed to another process."""

    @property
    def title(self) -> str:
        """What it is called in print."""
        ...

    @property
    def shown_images(self) -> int:
        """Images that it is shown, counted in every epoch."""
        ...


J = TypeVar("J", bound=Job)


def at_a_time(processes: int | None, *, embedded: bool) -> int:
    """Return how many trainings run at the same time.

    Args:
        processes: as many; None leaves it to the data: of photographs and on a GPU one, which uses all there is, and of
            embedded data as many as PyTorch has threads, at most `MOST`.
        embedded: whether the data are the small images that are embedded.

    Raises:
        ResnexusError: no whole number of at least 1.
    """
    if processes is not None:
        whole(processes=processes)
        return processes
    return min(MOST, torch.get_num_threads()) if embedded and hardware().device == "cpu" else 1


def train_at_a_time(
    jobs: Sequence[J], out: Path, progress: Progress, *, train: Callable[[J, Path, Progress, str], Any], processes: int
) -> None:
    """Train jobs in several processes, which keep their runs in `out`.

    What ends this process ends them: they are asked to keep what they have, and waited for; if it is killed, they end
    at once.

    Args:
        jobs: in the order in which they are begun.
        out: folder of the comparison.
        progress: where to report.
        train: a function of a module, which trains a job in a folder and keeps its run there.
        processes: how many at a time.

    Raises:
        ResnexusError: as `train`, or a process ended without a word.
        KeyboardInterrupt: with a note that says which trainings go on later.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    left, running, done = list(jobs), dict[Connection, _Running[J]](), 0
    title = f"training {len(left)} networks, {processes} at a time, images"
    with progress.stage(title, sum(job.shown_images for job in left)) as advance, _ended(running):
        while left or running:
            while left and len(running) < processes:
                one = _started(context, left.pop(0), train, out)
                running[one.connection] = one
            for connection in wait(list(running)):
                one = running[connection]  # type: ignore[index]  # which are connections
                if one.hear(progress, advance):
                    del running[one.connection]
                    done += 1
                    progress.say(f"{one.job.title}: trained ({done} of {len(jobs)})")


@dataclass
class _Running(Generic[J]):
    """A training under way."""

    job: J
    process: ForkServerProcess
    connection: Connection

    def hear(self, progress: Progress, advance: Advance) -> bool:
        """Take what the process has to say; return whether it has finished.

        Raises:
            ResnexusError: what ended the training there.
        """
        try:
            told = self.connection.recv()
        except EOFError:
            self.process.join()
            if self.process.exitcode == 0:
                return True
            raise ResnexusError(
                f"the process of the training of {self.job.title} ended with {self.process.exitcode}; if memory is "
                "short, start again with fewer processes"
            ) from None
        match told:
            case _Begun(images):
                advance(self.job.shown_images - images)  # what was done before an interruption
            case _Shown(images):
                advance(images)
            case _Said(message):
                progress.say(message)
            case _Failed(error):
                raise error
        return False


@contextmanager
def _ended(running: dict[Connection, _Running[J]]) -> Iterator[None]:
    """End what runs when the block ends with an error, and say on it what goes on later."""
    try:
        yield
    except BaseException as error:
        for one in running.values():
            one.process.terminate()
        for one in running.values():
            one.process.join()
        if running and not isinstance(error, Stopped):  # which says so itself
            error.add_note(going_on(one.job.title for one in running.values()))
        raise


def _started(context: Any, job: J, train: Callable[[J, Path, Progress, str], Any], out: Path) -> _Running[J]:
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(there, job, train, out))
    process.start()
    there.close()  # so that the end of the process is the end of the pipe
    return _Running(job, process, here)


def _work(connection: Connection, job: J, train: Callable[[J, Path, Progress, str], Any], out: Path) -> None:
    """Do a job in this process."""
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    try:
        train(job, out, _Told(connection), job.title)
    except (KeyboardInterrupt, Stopped):
        os._exit(STOPPED_EXIT_CODE)  # the parent was interrupted, too, and says so
    except Exception as error:
        connection.send(_Failed(error))
        raise SystemExit(1) from None


def _end_with_the_parent() -> None:
    """Another start of the comparison may go on with this training: it must not run any more by then."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(STOPPED_EXIT_CODE)


class _Told:
    """Tells the process that shows it: of a training the images, but not those of the evaluation after it."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._began = connection, False

    @contextmanager
    def stage(self, description: str, total: int) -> Iterator[Advance]:
        if self._began:
            yield lambda steps=1: None
            return
        self._began = True
        self._connection.send(_Begun(total))
        yield lambda steps=1: self._connection.send(_Shown(steps))

    def say(self, message: str) -> None:
        self._connection.send(_Said(message))


@dataclass(frozen=True)
class _Begun:
    images: int


@dataclass(frozen=True)
class _Shown:
    images: int


@dataclass(frozen=True)
class _Said:
    message: str


@dataclass(frozen=True)
class _Failed:
    error: Exception
