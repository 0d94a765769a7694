"""What each exact rewrite is worth: the time with it over the time without it, in every back end."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from statistics import median
from types import MappingProxyType

from resnexus.acceleration.backends.contract import Candidate, Job, Precision, Runner
from resnexus.acceleration.backends.registry import backend as back_end
from resnexus.acceleration.backends.torch import EAGER
from resnexus.acceleration.planning.judge import Referee
from resnexus.acceleration.planning.search import SETTLE_S
from resnexus.acceleration.planning.timing import interleaved
from resnexus.architectures.catalog import architecture
from resnexus.benchmark.environment import Environment, environment
from resnexus.benchmark.ratios import Ratio, ratio_of_times
from resnexus.benchmark.workload import Workload
from resnexus.parity.golden import golden_network
from resnexus.progress import Progress
from resnexus.rewrites.table import REWRITES, rewrite

# One network for each rewrite: of 50 layers, and of the kind that the rewrite is for.
NETWORKS = MappingProxyType(
    {
        "fold_batch_norm": "ResNeXt50_32x4d",
        "res2_aligned_widths_8": "Res2Net50_26w_4s",
        "res2_aligned_widths_16": "Res2Net50_26w_4s",
        "res2_grouped_stride2": "Res2Net50_26w_4s",
        "res2_separate_entries": "Res2Net50_26w_4s",
        "res2_summed_projection": "Res2Net50_26w_4s",
        "res2_without_copies": "Res2Net50_26w_4s",
        "pack_groups_16": "ResNeXt50_32x4d",
        "pack_groups_32": "ResNeXt50_32x4d",
        "pack_groups_64": "ResNeXt50_32x4d",
        "pool_into_projection": "ResNeXt50_vd_32x4d",
        "gate_before_projection": "SE_ResNeXt50_32x4d",
    }
)

WAYS: tuple[tuple[str, Precision], ...] = (
    ("torch", "fp32"),
    ("onnxruntime", "fp32"),
    ("openvino", "fp32"),
    ("openvino", "bf16"),
)
"""Back ends and precisions in which every rewrite is timed."""


@dataclass(frozen=True, kw_only=True)
class Worth:
    """One rewrite in one back end.

    Attributes:
        rewrite: its name.
        model: the network.
        backend: what ran it; PyTorch eagerly, channels last.
        precision: it ran in.
        batch_size: images per call.
        with_ms: milliseconds per batch with the rewrite, the median.
        without_ms: without it, batch normalisation folded all the same; for `fold_batch_norm`, as it is.
        ratio: the one over the other.
    """

    rewrite: str
    model: str
    backend: str
    precision: str
    batch_size: int
    with_ms: float
    without_ms: float
    ratio: Ratio


@dataclass(frozen=True, kw_only=True)
class Worths:
    """What every rewrite is worth on one machine."""

    environment: Environment
    worths: tuple[Worth, ...] = ()


def measure_worth(
    batch_sizes: Sequence[int] = (1,),
    *,
    rounds: int = 20,
    threads: int,
    rewrites: Sequence[str] = tuple(NETWORKS),
    progress: Progress | None = None,
) -> Iterator[Worths]:
    """Yield the record as it grows, after every rewrite and batch size.

    All forms of one network take turns: with and without the rewrite, in all back ends.

    Args:
        batch_sizes: images per call.
        rounds: in how many they take turns.
        threads: CPU threads.
        rewrites: their names, those of one network side by side.
        progress: told before every step that takes long; nobody if None.

    Raises:
        ResnexusError: an unknown rewrite.
    """
    for name in rewrites:
        rewrite(name)
    record = Worths(environment=environment())
    for model, names in groupby(rewrites, key=NETWORKS.__getitem__):
        with tempfile.TemporaryDirectory(prefix="resnexus-worth-") as scratch:
            workload = Workload(golden_network(architecture(model)), Path(scratch), progress=progress)
            for name in list(names):
                for batch_size in batch_sizes:
                    job = Job(batch_size=batch_size, threads=threads)
                    record = replace(record, worths=(*record.worths, *_worths(workload, model, name, job, rounds)))
                    yield record


def _worths(workload: Workload, model: str, name: str, job: Job, rounds: int) -> list[Worth]:
    without: tuple[str, ...] = () if name == "fold_batch_norm" else ("fold_batch_norm",)
    runners: dict[tuple[str, Precision, bool], Runner] = {}
    for backend, precision in WAYS:
        if not back_end(backend).is_usable(job.device, precision):
            continue
        own = replace(job, precision=precision)
        referee = Referee(workload.network, own)
        for rewritten in (False, True):
            rewrites = (*without, REWRITES[name].name) if rewritten else without
            candidate = Candidate(backend, rewrites, {"mode": EAGER} if backend == "torch" else {})
            runner = workload.builder.load(candidate, own, workload.builder.files(candidate, own, workload.scratch))
            referee.judge(runner)
            runners[backend, precision, rewritten] = runner
    calls = {key: partial(runner, referee.images) for key, runner in runners.items()}
    times = interleaved(calls, rounds=rounds, settle=SETTLE_S)
    return [
        Worth(
            rewrite=name,
            model=model,
            backend=backend,
            precision=precision,
            batch_size=job.batch_size,
            with_ms=median(times[backend, precision, True]),
            without_ms=median(times[backend, precision, False]),
            ratio=ratio_of_times(times[backend, precision, True], times[backend, precision, False]),
        )
        for backend, precision, rewritten in times
        if rewritten
    ]
