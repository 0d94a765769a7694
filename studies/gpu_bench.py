"""Measure our engine on a GPU against PyTorch, its compiler and timm, in under eight minutes.

All 28 networks in fp16 at batch 1, 8 and 128, four of them in bf16 and fp32; before that, every step of the networks
against float64, and besides, what the GPU itself can do, profiles, and a training step. Each network has a process of
its own. Several open and compile side by side, and then each has the GPU for itself and times everything of its network
in turns. What there is no time for is left out, the least important first, and said. The records are written after
every network, so that nothing is lost where it is cut off: OUT/bench.json is one of `resnexus bench`, and
OUT/checks.json has the rest.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol

import torch

from resnexus.acceleration.cuda.device import check_gpu
from resnexus.architectures.catalog import CATALOG
from resnexus.benchmark.bench import Bench, BenchSettings, LeftOut
from resnexus.benchmark.engines import OURS
from resnexus.benchmark.environment import environment
from resnexus.machine import usable_cores
from resnexus.records import write_json
from studies.gpu_record import Outcome, records, table
from studies.gpu_stages import KINDS, TIMM_TRAINED
from studies.gpu_task import Setting, Task
from studies.gpu_work import OPENED, work

SECONDS = 470.0
GRACE_S = 15.0
"""How much longer than its time a process may take to come to the end of what it is opening."""

MEASURING_S = 20.0
"""How long one process may measure."""

AUTOTUNED = ("ResNeXt50_32x4d", "Res2Net50_26w_4s")
PEERS = ("channels_last", "timm", "compile_reduce_overhead")
VARIANTS = ("library", "ours")
SIZES = (1, 8, 128)
PARITY_SHARES = 4
REHEARSED = ("ResNeXt_small", "Res2Net_small")


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

    def answer(self, seconds: float) -> Outcome | str:
        """Return what it sends next; where it sends nothing in time, or ends, an outcome that says so."""
        try:
            if self.connection.poll(max(0.0, seconds)):
                found: Outcome | str = self.connection.recv()
                return found
            reason = "it took too long and was ended"
        except (EOFError, OSError):
            reason = "its process ended by itself"
        return Outcome(left_out=tuple(self._nothing(reason)), notes=(f"{self.task.name}: {reason}",))

    def end(self) -> None:
        """End it, if it has not ended."""
        self.connection.close()
        if isinstance(self.handle, multiprocessing.process.BaseProcess):
            self.handle.join(2.0)
            self.handle.kill()
        self.handle.join(10.0)

    def _nothing(self, reason: str) -> Iterator[LeftOut]:
        for precision, size in self.task.cells if self.task.kind == "network" else ():
            for engine in (*self.task.engines, OURS):
                yield LeftOut(
                    model=self.task.model,
                    device=self.device,
                    precision=precision,
                    batch_size=size,
                    engine=engine,
                    reason=reason,
                )


def run(
    waves: Sequence[Sequence[Task]], setting: Callable[[float], Setting], start: Start, end: float
) -> Iterator[Outcome]:
    """Run waves of tasks: the tasks of a wave open side by side, and measure one after another.

    Args:
        waves: the most important first.
        setting: the moment after which nothing more is opened -> how tasks measure.
        start: starts one.
        end: of `time.monotonic`, when all should be over.

    Yields:
        What each task found.
    """
    for number, wave in enumerate(waves):
        now = time.monotonic()
        share = max(0.0, end - now) / (len(waves) - number)
        deadline = now + max(0.5 * share, share - MEASURING_S)
        if now >= end:
            for task in wave:
                yield Outcome(notes=(f"{task.name}: there was no time for it",))
            continue
        workers = [Worker.of(task, setting(deadline), start) for task in wave]
        try:
            ready = []
            for worker in workers:
                answer = worker.answer(deadline + GRACE_S - time.monotonic())
                if answer == OPENED:
                    ready.append(worker)
                elif isinstance(answer, Outcome):
                    yield answer
            for worker in ready:
                worker.connection.send("measure")
                answer = worker.answer(MEASURING_S)
                if isinstance(answer, Outcome):
                    yield answer
        finally:
            for worker in workers:
                worker.end()


def planned(workers: int) -> list[list[Task]]:
    """Return all that is to be measured, in waves of so many processes: first of all parity, and one of each kind."""
    half = tuple(("fp16", size) for size in SIZES)
    rest = [name for name in CATALOG if name not in KINDS]
    first = [Task(kind="peaks", cells=(("fp16", 1), ("bf16", 1), ("fp32", 1)))]
    first += [Task(kind="parity", cells=(("fp16", 2),), share=(share, PARITY_SHARES)) for share in range(PARITY_SHARES)]
    networks = [Task(kind="network", model=name, cells=half, engines=PEERS, variants=VARIANTS) for name in KINDS]
    later = [Task(kind="network", model=name, cells=half, engines=PEERS, variants=VARIANTS) for name in rest]
    others = tuple((precision, size) for precision in ("bf16", "fp32") for size in SIZES)
    more = [Task(kind="network", model=name, cells=others, engines=PEERS, variants=VARIANTS) for name in KINDS]
    more += [Task(kind="training", model=name, cells=(("bf16", 128),)) for name in TIMM_TRAINED]
    more += [
        Task(
            kind="network",
            model=name,
            cells=half[:2],
            engines=("compile_max_autotune",),
            variants=("ours", "measured"),
            aside=True,
        )
        for name in AUTOTUNED
    ]
    rows = later + more
    waves = [first + networks]
    return waves + [rows[begin : begin + workers] for begin in range(0, len(rows), workers)]


def rehearsed() -> list[list[Task]]:
    """Return a few small tasks of every kind that the CPU does in seconds."""
    cells = (("fp32", 1), ("bf16", 2))
    small = [
        Task(kind="network", model=name, cells=cells, engines=("channels_last",), variants=("library",))
        for name in REHEARSED
    ]
    return [[Task(kind="parity", model="Res2Net50_26w_4s", cells=(("fp32", 1),), share=(0, 9)), small[0]], small[1:]]


def main() -> None:
    """Measure, write the records after every task, and print a table last."""
    arguments = _arguments()
    rehearse = arguments.rehearse
    if not rehearse:
        check_gpu()
    arguments.out.mkdir(parents=True, exist_ok=True)
    device, side, rounds = ("cpu", 32, 2) if rehearse else ("cuda", 224, arguments.rounds)
    waves = rehearsed() if rehearse else planned(arguments.workers or _workers())
    tasks = [task for wave in waves for task in wave if task.kind == "network"]
    settings = BenchSettings(
        devices=(device,),
        precisions=tuple(dict.fromkeys(precision for task in tasks for precision, _ in task.cells)),
        batch_sizes=tuple(dict.fromkeys(size for task in tasks for _, size in task.cells)),
        engines=(*dict.fromkeys(name for task in tasks for name in task.engines), OURS),
        image_size=side,
        rounds=rounds,
        threads=1,
        settle_s=0.0,
    )
    empty, found = Bench(environment=environment(), settings=settings), Outcome()
    with tempfile.TemporaryDirectory() as cache:
        if not rehearse:  # what one process compiled, the others find
            threads = {"OMP_NUM_THREADS": "1", "TORCHINDUCTOR_COMPILE_THREADS": "2"}
            os.environ |= {"TORCHINDUCTOR_CACHE_DIR": cache, "RESNEXUS_HOME": cache} | threads

        def setting(deadline: float) -> Setting:
            return Setting(device=device, image_size=side, rounds=rounds, deadline=deadline)

        start = in_a_thread if rehearse else in_a_process
        for outcome in run(waves, setting, start, time.monotonic() + arguments.seconds):
            found += outcome
            bench, checks = records(found, empty)
            write_json(bench, arguments.out / "bench.json")
            write_json(checks, arguments.out / "checks.json")
    print(table(*records(found, empty)))


def _workers() -> int:
    """Return how many processes have room beside each other: each takes a core and about 8 GiB of the GPU."""
    gibibytes = torch.cuda.get_device_properties(0).total_memory // 2**30
    return max(1, min(usable_cores() * 3 // 4, gibibytes // 8))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the records")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="after which nothing more is begun")
    parser.add_argument("--rounds", type=int, default=15, help="in which all engines take turns")
    parser.add_argument(
        "--workers", type=int, help="processes at a time; as many as cores and memory allow if left out"
    )
    parser.add_argument("--rehearse", action="store_true", help="small networks on the CPU, in seconds")
    return parser.parse_args()


if __name__ == "__main__":
    main()
