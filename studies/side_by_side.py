"""Measure engines side by side on one machine: 1, 2 and 4 of them, in threads of one process and in processes.

    python -m studies.side_by_side results/side_by_side_cpu_DATE.json

Every engine runs its own batches as fast as it can while the others do. The sum of their images per second says whether
they get in each other's way: with as many threads each as there are cores, it should stay what one engine reaches.
"""

from __future__ import annotations

import argparse
import multiprocessing
import queue
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal, get_args

import torch

from resnexus.acceleration.backends.contract import Job
from resnexus.acceleration.backends.registry import backend
from resnexus.architectures.catalog import architecture
from resnexus.architectures.network import Network
from resnexus.benchmark.environment import Environment, environment
from resnexus.machine import check_threads
from resnexus.parity.golden import golden_network
from resnexus.records import write_json
from resnexus.rewrites.folding import fold_batch_norm

Way = Literal["threads", "processes"]
_READY_S = 600.0  # how long the slowest engine may take to open


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """Some engines side by side.

    Attributes:
        way: `"threads"` of one process, or `"processes"`.
        engines: how many.
        images_s: images per second of all together, the median of the rounds.
        least_s: the fewest of a round.
        most_s: the most of a round.
        slowest_share: what the slowest engine did of an equal share, in the worst round; 1 is fair.
    """

    way: Way
    engines: int
    images_s: float
    least_s: float
    most_s: float
    slowest_share: float


@dataclass(frozen=True, kw_only=True)
class SideBySide:
    """Engines side by side on one machine.

    Attributes:
        environment: where.
        model: the network, with batch normalisation folded.
        backend: what ran it, in fp32.
        batch_size: images per call.
        threads: of each engine.
        seconds: that a round lasts.
        rounds: in which all took turns.
        crowds: what was found.
    """

    environment: Environment
    model: str
    backend: str
    batch_size: int
    threads: int
    seconds: float
    rounds: int
    crowds: tuple[Crowd, ...]


@dataclass(frozen=True, kw_only=True)
class Engine:
    """How an engine is opened, also in another process.

    Attributes:
        backend: what runs it.
        folder: what it was built into.
        job: what it was built for.
    """

    backend: str
    folder: Path
    job: Job


def build(network: Network, name: str, job: Job, folder: Path) -> Engine:
    """Build a network, folded, for one back end into an empty folder."""
    backend(name).build(fold_batch_norm(network), job, {}, folder, None)
    return Engine(backend=name, folder=folder, job=job)


def measure(
    engine: Engine, counts: Sequence[int], *, ways: Sequence[Way] = get_args(Way), seconds: float, rounds: int
) -> tuple[Crowd, ...]:
    """Run as many engines as each of `counts` side by side, in every way, all settings in turn.

    Args:
        engine: what every one of them opens for itself.
        counts: of engines.
        ways: how they share the machine.
        seconds: that a round lasts.
        rounds: of every setting.
    """
    settings = [(way, count) for way in ways for count in counts]
    found: dict[tuple[Way, int], list[list[float]]] = {setting: [] for setting in settings}
    for _ in range(rounds):
        for way, count in settings:
            found[way, count].append(_round(engine, way, count, seconds))
    return tuple(_crowd(way, count, rates) for (way, count), rates in found.items())


def _crowd(way: Way, count: int, rates: list[list[float]]) -> Crowd:
    totals = [sum(each) for each in rates]
    return Crowd(
        way=way,
        engines=count,
        images_s=median(totals),
        least_s=min(totals),
        most_s=max(totals),
        slowest_share=min(count * min(each) / sum(each) for each in rates),
    )


def _round(engine: Engine, way: Way, count: int, seconds: float) -> list[float]:
    """Return the images per second of every engine."""
    workers: list[Any]
    if way == "threads":
        results: Any = queue.Queue()
        together = (threading.Barrier(count), seconds, results)
        workers = [threading.Thread(target=_run, args=(engine, *together), daemon=True) for _ in range(count)]
    else:
        context = multiprocessing.get_context("spawn")
        results = context.Queue()
        shared = (context.Barrier(count), seconds, results)
        workers = [context.Process(target=_run, args=(engine, *shared), daemon=True) for _ in range(count)]
    for worker in workers:
        worker.start()
    rates = [results.get(timeout=_READY_S + seconds) for _ in workers]
    for worker in workers:
        worker.join()
    return rates


def _run(engine: Engine, barrier: Any, seconds: float, results: Any) -> None:
    runner = backend(engine.backend).load(engine.folder, engine.job, {})
    images = torch.zeros(engine.job.shape)
    runner(images)
    barrier.wait(_READY_S)
    start = time.perf_counter()
    calls, passed = 0, 0.0
    while not calls or passed < seconds:  # a thread may be given no time in all of a round
        runner(images)
        calls += 1
        passed = time.perf_counter() - start
    results.put(calls * engine.job.batch_size / passed)


def main() -> None:
    """Measure, print a line per setting, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the record")
    parser.add_argument("--model", default="ResNeXt50_32x4d")
    parser.add_argument("--backend", default="native")
    parser.add_argument("--engines", type=int, nargs="+", default=[1, 2, 4], help="how many side by side")
    parser.add_argument("--threads", type=int, help="of each engine; as many as PyTorch uses if not given")
    parser.add_argument("--batch-size", type=int, default=1, help="images per call")
    parser.add_argument("--image-size", type=int, default=224, help="pixels")
    parser.add_argument("--seconds", type=float, default=10.0, help="that a round lasts")
    parser.add_argument("--rounds", type=int, default=5, help="of every setting")
    arguments = parser.parse_args()
    job = Job(
        batch_size=arguments.batch_size,
        image_size=(arguments.image_size, arguments.image_size),
        threads=check_threads(arguments.threads),
    )
    with tempfile.TemporaryDirectory() as folder:
        engine = build(golden_network(architecture(arguments.model)), arguments.backend, job, Path(folder))
        crowds = measure(engine, arguments.engines, seconds=arguments.seconds, rounds=arguments.rounds)
    for crowd in crowds:
        print(
            f"{crowd.engines} in {crowd.way}: {crowd.images_s:.1f} images/s ({crowd.least_s:.1f} to "
            f"{crowd.most_s:.1f}), the slowest engine {crowd.slowest_share:.2f} of its share",
            file=sys.stderr,
        )
    record = SideBySide(
        environment=environment(),
        model=arguments.model,
        backend=arguments.backend,
        batch_size=job.batch_size,
        threads=job.threads,
        seconds=arguments.seconds,
        rounds=arguments.rounds,
        crowds=crowds,
    )
    write_json(record, arguments.out)


if __name__ == "__main__":
    main()
