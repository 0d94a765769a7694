"""One training of one segmenter or detector, from its start to what is kept of it."""

from __future__ import annotations

import time
from pathlib import Path

from resnexus.comparison.dense.jobs import DenseTraining, keep
from resnexus.comparison.dense.measure import measured
from resnexus.comparison.dense.showing import found_in_examples
from resnexus.comparison.interruptions import remove_unfinished, unfinished_path
from resnexus.progress import Progress
from resnexus.report.dense.record import DenseRun
from resnexus.training.hardware import hardware
from resnexus.training.train import train as train_network


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
    start = time.perf_counter()
    outcome = train_network(
        network,
        job.source.train(job.seed),
        None,
        job.settings.recipe(job.seed),
        unfinished,
        accelerator=here.accelerator,
        progress=progress,
        label=f"training {label}",
        collated=job.source.collate,
        module=DenseLearner,
    )
    seconds = time.perf_counter() - start
    network.to(here.device)
    scores = measured(network, job.source, job.task, device=here.device, progress=progress, label=f"evaluating {label}")
    run = DenseRun(
        seed=job.seed,
        scores=scores,
        losses=tuple(float(row["train_loss"]) for row in outcome.rows),
        seconds=seconds,
        found=found_in_examples(network, job.source, here.device),
    )
    keep(job, run, out)
    remove_unfinished(job, out)
    return run
