"""One training of one segmenter or detector, from its start to what is kept of it."""

from __future__ import annotations

import time
from pathlib import Path

from resnexus.comparison.dense.jobs import DenseTraining, keep
from resnexus.comparison.dense.measure import METRICS, measured
from resnexus.comparison.dense.showing import found_in_examples
from resnexus.comparison.interruptions import remove_unfinished, unfinished_path
from resnexus.progress import Progress, Silent
from resnexus.report.dense.record import DenseRun, Milestone
from resnexus.training.hardware import hardware
from resnexus.training.train import train as train_network

MILESTONES = 3
"""How often a network is evaluated: after equal parts of its training, the last time at its end."""


def train(job: DenseTraining, out: Path, progress: Progress, label: str) -> DenseRun:
    """Train, evaluate, and keep the record in `out`.

    Args:
        job: what to train.
        out: folder of the comparison.
        progress: where to report.
        label: what the job is called there.

    Raises:
        ResnexusError: as the training does, or the folder cannot be written.
    """
    from resnexus.comparison.dense.module import DenseLearner

    network, here, unfinished = job.network(), hardware(), unfinished_path(job, out)
    metric, earlier = METRICS[job.task], milestones(job.settings.epochs)[:-1]
    measuring_s = 0.0

    def measure(epoch: int) -> dict[str, float]:
        nonlocal measuring_s
        if epoch not in earlier:
            return {}
        begin = time.perf_counter()
        scores = measured(network, job.source, job.task, device=here.device, progress=Silent(), label="")
        measuring_s += time.perf_counter() - begin
        return {metric: scores[metric]}

    start = time.perf_counter()
    outcome = train_network(
        network,
        job.source.train(job.seed),
        None,
        job.settings.recipe(job.seed),
        unfinished,
        device=here.device,
        progress=progress,
        label=f"training {label}",
        collated=job.source.collate,
        module=DenseLearner,
        measure=measure,
    )
    seconds = time.perf_counter() - start - measuring_s
    network.to(here.device)
    scores = measured(network, job.source, job.task, device=here.device, progress=progress, label=f"evaluating {label}")
    curve = [Milestone(epoch=row["epoch"], score=row[metric]) for row in outcome.rows if metric in row]
    run = DenseRun(
        seed=job.seed,
        scores=scores,
        losses=tuple(float(row["train_loss"]) for row in outcome.rows),
        curve=(*curve, Milestone(epoch=job.settings.epochs, score=scores[metric])),
        seconds=seconds,
        found=found_in_examples(network, job.source, here.device),
    )
    keep(job, run, out)
    remove_unfinished(job, out)
    return run


def milestones(epochs: int) -> list[int]:
    """Return the epochs after which a network is evaluated, the last one among them."""
    return sorted({max(1, round(epochs * part / MILESTONES)) for part in range(1, MILESTONES + 1)})
