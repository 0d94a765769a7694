"""Measure our engine on a GPU against PyTorch, its compiler and timm, in under eight minutes.

All 28 networks in fp16 at batch 1, 128, 8 and 4, four of them in bf16 and fp32; before that, every step of the networks
against float64, and besides, what the GPU itself can do, profiles, and a training step. Each network has a process of
its own. Several open and compile side by side, and then each has the GPU for itself and times everything of its network
in turns. The waves share the time alike. Of each, four seconds are kept for every process to measure, the others are
for opening: what compiles for long comes last there, so that it alone is left out where the time is short, and said.

After every network the records are written: OUT/bench_gpu_GPU_DATE.json is one of `resnexus bench`, and
OUT/checks_gpu_GPU_DATE.json has the rest. The table that is printed last says of every target whether it was met.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NoReturn

import torch

from resnexus.acceleration.cuda.device import check_gpu
from resnexus.architectures.catalog import CATALOG
from resnexus.benchmark.bench import Bench, BenchSettings
from resnexus.benchmark.engines import OURS
from resnexus.benchmark.environment import environment
from resnexus.errors import ResnexusError
from resnexus.machine import usable_cores
from resnexus.records import write_json
from resnexus.report.printing import file_name
from studies.gpu_page import BENCH, CHECKS
from studies.gpu_record import Outcome, records
from studies.gpu_stages import FIRST, KINDS, TIMM_TRAINED
from studies.gpu_table import table
from studies.gpu_targets import COMPILER
from studies.gpu_task import Setting, Task
from studies.gpu_workers import in_a_process, in_a_thread, run

SECONDS = 455.0
"""Of the eight minutes; the others are for loading PyTorch and for ending."""

AUTOTUNED = ("ResNeXt50_32x4d", "Res2Net50_26w_4s")
PEERS = ("channels_last", "timm", COMPILER)
VARIANTS = ("library", "ours")
SIZES = (1, 128, 8, 4)
"""The most important first: what compiles long may not come to the last ones."""

PARITY_SHARES = 4
REHEARSED = ("ResNeXt_small", "Res2Net_small")


def planned(workers: int) -> list[list[Task]]:
    """Return all that is to be measured, in waves of so many processes, the most important first.

    First what the GPU can do, all steps in fp16, and six networks; then the other networks in fp16; then four in
    bf16 and fp32, steps in these, training, and four again with every step as it was measured to be the fastest.
    """
    first = [Task(kind="peaks", cells=(("fp16", 1), ("bf16", 1), ("fp32", 1)))]
    first += [Task(kind="parity", cells=(("fp16", 2),), share=(share, PARITY_SHARES)) for share in range(PARITY_SHARES)]
    half = tuple(("fp16", size) for size in SIZES)
    first += [_network(name, half) for name in FIRST]
    rows = [_network(name, half) for name in CATALOG if name not in FIRST]
    rows += [_network(name, tuple((precision, size) for size in SIZES[:3] for precision in FULL)) for name in KINDS]
    rows += [Task(kind="parity", cells=tuple((precision, 2) for precision in FULL), share=(of, 2)) for of in range(2)]
    rows += [Task(kind="training", model=name, cells=(("bf16", 128),)) for name in TIMM_TRAINED]
    rows += [_as_measured(name, half[:3]) for name in KINDS]
    return [tasks[begin : begin + workers] for tasks in (first, rows) for begin in range(0, len(tasks), workers)]


FULL = ("bf16", "fp32")
"""Precisions with the range of float32."""


def _network(name: str, cells: tuple[tuple[str, int], ...]) -> Task:
    return Task(kind="network", model=name, cells=cells, engines=PEERS, variants=VARIANTS)


def _as_measured(name: str, cells: tuple[tuple[str, int], ...]) -> Task:
    """Return a network with all variants of our engine, in turns with the compiler, which finds what it compiled."""
    engines = (COMPILER, "compile_max_autotune") if name in AUTOTUNED else (COMPILER,)
    variants = (*VARIANTS, "measured")
    return Task(kind="network", model=name, cells=cells, engines=engines, variants=variants, aside=True)


def rehearsed() -> list[list[Task]]:
    """Return a few small tasks of every kind that the CPU does in seconds."""
    cells = (("fp32", 1), ("bf16", 2))
    small = [
        Task(kind="network", model=name, cells=cells, engines=("channels_last",), variants=("library",))
        for name in REHEARSED
    ]
    return [[Task(kind="parity", model="Res2Net50_26w_4s", cells=(("fp32", 1),), share=(0, 9)), small[0]], small[1:]]


def main() -> None:
    """Measure, write the records after every task, and print a table last, also of what a signal cut off."""
    arguments = _arguments()
    before = signal.signal(signal.SIGTERM, _terminated)
    try:
        _measure(arguments, end=time.monotonic() + arguments.seconds)
    except ResnexusError as error:
        sys.exit(f"error: {error}")
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminated(number: int, frame: object) -> NoReturn:
    sys.exit(128 + number)


def _measure(arguments: argparse.Namespace, end: float) -> None:
    rehearse = arguments.rehearse
    if not rehearse:
        check_gpu()
    device, side, rounds = ("cpu", 32, 2) if rehearse else ("cuda", 224, arguments.rounds)
    waves = rehearsed() if rehearse else planned(arguments.workers or _workers())
    arguments.out.mkdir(parents=True, exist_ok=True)
    here, found = environment(), Outcome()
    empty = Bench(environment=here, settings=_settings(waves, device, side, rounds))
    name = f"{file_name((not rehearse and here.gpu) or 'rehearsal')}_{here.date[:10]}.json"

    def setting(deadline: float) -> Setting:
        return Setting(device=device, image_size=side, rounds=rounds, deadline=deadline)

    with tempfile.TemporaryDirectory() as cache:
        if not rehearse:  # what one process compiled, the others find; and what ended ones left goes with it
            threads = {"OMP_NUM_THREADS": "1", "TORCHINDUCTOR_COMPILE_THREADS": "2"}
            os.environ |= {"TORCHINDUCTOR_CACHE_DIR": cache, "RESNEXUS_HOME": cache, "TMPDIR": cache} | threads
        try:
            with closing(run(waves, setting, in_a_thread if rehearse else in_a_process, end)) as outcomes:
                for outcome in outcomes:
                    found += outcome
                    bench, checks = records(found, empty)
                    write_json(bench, arguments.out / f"{BENCH}{name}")
                    write_json(checks, arguments.out / f"{CHECKS}{name}")
        finally:
            print(table(*records(found, empty)))


def _settings(waves: Sequence[Sequence[Task]], device: str, side: int, rounds: int) -> BenchSettings:
    """Return what the record says of how it was measured."""
    tasks = [task for wave in waves for task in wave if task.kind == "network"]
    return BenchSettings(
        devices=(device,),
        precisions=tuple(dict.fromkeys(precision for task in tasks for precision, _ in task.cells)),
        batch_sizes=tuple(dict.fromkeys(size for task in tasks for _, size in task.cells)),
        engines=(*dict.fromkeys(name for task in tasks for name in task.engines), OURS),
        image_size=side,
        rounds=rounds,
        threads=1,
        settle_s=0.0,
    )


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
