"""The processes of `gpu_bench`: those of a wave open side by side, then each has the GPU to itself, within the time."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Protocol

from resnexus.benchmark.bench import LeftOut
from resnexus.benchmark.engines import OURS
from studies.gpu_record import Outcome
from studies.gpu_task import Setting, Task
from studies.gpu_work import OPENED, work

GRACE_S = 15.0
"""How much longer than its time a process may take to come to the end of what it is opening."""

MEASURING_S = 20.0
"""How long one process may measure."""

RESERVED_S = 4.0
"""How long one process is expected to measure: for every one of a wave so much of the wave's time is kept."""

ENDING_S = 2.0
"""How long a process that has answered may take to end by itself."""


class Handle(Protocol):
    """A process, or in a rehearsal a thread."""

    def is_alive(self) -> bool:
        """Whether it runs."""
        ...

    def join(self, timeout: float | None = None) -> None:
        """Wait until it ends."""
        ...


Start = Callable[[Task, Setting, Connection], Handle]


def in_a_process(task: Task, setting: Setting, connection: Connection) -> Handle:
    """Start a task in a process of its own, which ends with this one."""
    process = multiprocessing.get_context("spawn").Process(target=work, args=(task, setting, connection), daemon=True)
    process.start()
    connection.close()  # its end: so that the other end notices when the process is gone
    return process


def in_a_thread(task: Task, setting: Setting, connection: Connection) -> Handle:
    """Start a task in a thread: for a rehearsal."""
    thread = threading.Thread(target=work, args=(task, setting, connection), daemon=True)
    thread.start()
    return thread


@dataclass(frozen=True)
class Worker:
    """A task that was started."""

    task: Task
    device: str
    handle: Handle
    connection: Connection

    @classmethod
    def of(cls, task: Task, setting: Setting, start: Start) -> Worker:
        """Start a task."""
        ours, its = multiprocessing.Pipe()
        return cls(task, setting.device, start(task, setting, its), ours)

    def opened(self, seconds: float) -> Outcome | None:
        """Wait until all of it is open; where that does not come to pass, end it and return an outcome that says so."""
        answer = self._answer(seconds)
        if isinstance(answer, Outcome):
            self.end(ENDING_S)
            return answer
        return None if answer == OPENED else self._late(answer)

    def measured(self, seconds: float) -> Outcome:
        """Let it measure, and end it: at once if it takes too long."""
        try:
            self.connection.send("measure")
        except OSError:
            return self._late(_GONE)
        answer = self._answer(seconds)
        if isinstance(answer, Outcome):
            self.end(ENDING_S)
            return answer
        return self._late(answer)

    def end(self, patience: float = 0.0) -> None:
        """End it, if it has not ended by itself after some seconds: the GPU and the cores belong to the others then."""
        self.connection.close()
        if isinstance(self.handle, multiprocessing.process.BaseProcess):
            self.handle.join(patience)
            self.handle.kill()
        self.handle.join(10.0)

    def _answer(self, seconds: float) -> Outcome | str:
        """Return what it sends next, or why it sends nothing."""
        try:
            if self.connection.poll(max(0.0, seconds)):
                found: Outcome | str = self.connection.recv()
                return found
        except (EOFError, OSError):
            return _GONE
        return "it took too long and was ended"

    def _late(self, reason: str) -> Outcome:
        self.end()
        return nothing(self.task, self.device, reason)


_GONE = "its process ended by itself"


def nothing(task: Task, device: str, reason: str) -> Outcome:
    """Return the outcome of a task that found nothing."""
    left_out = tuple(
        LeftOut(model=task.model, device=device, precision=precision, batch_size=size, engine=engine, reason=reason)
        for precision, size in (task.cells if task.kind == "network" else ())
        for engine in (*task.engines, OURS)
    )
    return Outcome(left_out=left_out, notes=(f"{task.name}: {reason}",))


def run(
    waves: Sequence[Sequence[Task]], setting: Callable[[float], Setting], start: Start, end: float
) -> Generator[Outcome, None, None]:
    """Run waves of tasks: the tasks of a wave open side by side, and measure one after another.

    Args:
        waves: the most important first.
        setting: the moment after which nothing more is opened -> how tasks measure.
        start: starts one.
        end: of `time.monotonic`, when all is over: what has not answered by then is ended.

    Yields:
        What each task found.
    """
    for number, wave in enumerate(waves):
        share = (end - time.monotonic()) / (len(waves) - number)
        deadline = time.monotonic() + max(0.5 * share, share - RESERVED_S * len(wave))
        yield from _wave(wave, setting(deadline), start, end)


def _wave(wave: Sequence[Task], setting: Setting, start: Start, end: float) -> Iterator[Outcome]:
    def left() -> float:
        return end - time.monotonic()

    if left() <= 0:
        for task in wave:
            yield nothing(task, setting.device, "there was no time for it")
        return
    workers = [Worker.of(task, setting, start) for task in wave]
    try:
        ready = []
        for worker in workers:
            failed = worker.opened(min(setting.deadline + GRACE_S, end) - time.monotonic())
            if failed is None:
                ready.append(worker)
            else:
                yield failed
        for worker in ready:
            if left() > 0:
                yield worker.measured(min(MEASURING_S, left()))
            else:
                worker.end()
                yield nothing(worker.task, setting.device, "there was no time to measure it")
    finally:
        for worker in workers:
            worker.end()
