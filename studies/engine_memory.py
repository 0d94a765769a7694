"""Measure how much memory an engine takes: every one in a process of its own, on a named case of `bench`.

    python -m studies.engine_memory results/engine_memory_cpu_DATE.json --case mlperf-detector

A process makes the plain network, opens the engine and runs it. What its memory has grown by since the network was
there is the engine's, its library's code and buffers included. Our own engine is planned before, as in a service.
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch

from resnexus.acceleration.backends.contract import Job
from resnexus.architectures.catalog import architecture
from resnexus.benchmark.cases import CASES, Case, case
from resnexus.benchmark.engines import OURS, engine
from resnexus.benchmark.environment import Environment, environment
from resnexus.benchmark.workload import Workload
from resnexus.errors import ResnexusError
from resnexus.machine import check_threads
from resnexus.parity.golden import golden_features
from resnexus.records import write_json

_CALLS = 3  # after which buffers are as large as they become
_STATUS = Path("/proc/self/status")


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """The memory of one engine with one network.

    Attributes:
        model: the network.
        engine: as `bench` calls it.
        weights_mib: of the plain network's weights, for comparison.
        resident_mib: by which the process has grown once the engine has run; without the plain network.
        peak_mib: by which it had grown at most, while the engine was opened or ran.
    """

    model: str
    engine: str
    weights_mib: float
    resident_mib: float
    peak_mib: float


@dataclass(frozen=True, kw_only=True)
class EngineMemory:
    """What engines take of one machine's memory.

    Attributes:
        environment: where.
        case: of `bench`.
        image_size: pixels on a side.
        batch_size: images per call.
        threads: of each engine.
        footprints: what was found.
    """

    environment: Environment
    case: str
    image_size: int
    batch_size: int
    threads: int
    footprints: tuple[Footprint, ...]


def measure(of: Case, engines: Sequence[str], job: Job, plans: Path) -> Iterator[Footprint]:
    """Open each engine with each network of a case in a process of its own.

    Args:
        of: the case.
        engines: their names.
        job: what they run.
        plans: a folder for the plans of our own engine.
    """
    for model in of.models:
        for name in engines:
            # The second process of our own engine finds the plan of the first one.
            for _ in range(2 if name == OURS else 1):
                with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
                    found = process.submit(footprint, of, model, name, job, plans).result()
            yield found


def footprint(of: Case, model: str, name: str, job: Job, plans: Path) -> Footprint:
    """Return what an engine takes of this process, which should have run nothing before."""
    network = golden_features(architecture(model), of.out_indices)
    weights = sum(tensor.nbytes for tensor in network.state_dict().values())
    with tempfile.TemporaryDirectory() as scratch:
        workload = Workload(network, Path(scratch), cache_dir=plans)
        before = memory_mib("VmRSS")
        runner = engine(name).open(workload, job)
        images = torch.zeros(job.shape)
        for _ in range(_CALLS):
            runner(images)
        return Footprint(
            model=model,
            engine=name,
            weights_mib=weights / 2**20,
            resident_mib=memory_mib("VmRSS") - before,
            peak_mib=memory_mib("VmHWM") - before,
        )


def memory_mib(field: str) -> float:
    """Return `VmRSS`, the memory of this process, or `VmHWM`, the most that it ever had, in MiB.

    Raises:
        ResnexusError: the system does not tell; Linux does.
    """
    found = re.search(rf"^{field}:\s*(\d+) kB$", _STATUS.read_text("ascii"), re.M) if _STATUS.is_file() else None
    if found is None:
        raise ResnexusError("this system does not say how much memory a process has: measure on Linux")
    return int(found[1]) / 1024


def main() -> None:
    """Measure, print a line per engine, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the record")
    parser.add_argument("--case", default="mlperf-detector", choices=sorted(CASES))
    parser.add_argument("--engines", nargs="+", help="as `bench` calls them; those of the case if not given")
    arguments = parser.parse_args()
    of = case(arguments.case)
    job = Job(batch_size=of.batch_sizes[0], image_size=(of.image_size, of.image_size), threads=check_threads(None))
    footprints = []
    with tempfile.TemporaryDirectory() as plans:
        for found in measure(of, arguments.engines or of.engines, job, Path(plans)):
            print(
                f"{found.model} in {found.engine}: {found.resident_mib:,.0f} MiB, {found.peak_mib:,.0f} at most",
                file=sys.stderr,
            )
            footprints.append(found)
    record = EngineMemory(
        environment=environment(),
        case=of.name,
        image_size=of.image_size,
        batch_size=job.batch_size,
        threads=job.threads,
        footprints=tuple(footprints),
    )
    write_json(record, arguments.out)


if __name__ == "__main__":
    main()
