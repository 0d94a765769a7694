"""One training of one network, from its start to what is kept of it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from resnexus.comparison.interruptions import remove_unfinished, unfinished_path
from resnexus.comparison.jobs import Training
from resnexus.comparison.kept import keep
from resnexus.data.batches import BadImage
from resnexus.evaluation.evaluate import evaluate
from resnexus.progress import Progress
from resnexus.report.record import Run
from resnexus.training.hardware import hardware
from resnexus.training.train import train as train_network


def train(job: Training, out: Path, progress: Progress, label: str) -> Run:
    """Train, evaluate where it was trained, and keep weights and record in `out`.

    Args:
        job: what to train.
        out: folder of the comparison.
        progress: where to report.
        label: what the job is called there.

    Raises:
        ResnexusError: as the training and `evaluate` do, or the folder cannot be written.
    """
    network, splits, here = job.network(), job.data.splits, hardware()
    unfinished = unfinished_path(job, out)
    start = time.perf_counter()
    train_network(
        network,
        splits.train,
        None,
        job.settings.recipe(job.seed, here.precision),
        unfinished,
        device=here.device,
        allow_bad_images=job.settings.allow_bad_images,
        progress=progress,
        label=f"training {label}",
    )
    seconds = time.perf_counter() - start
    result = evaluate(
        network.to(here.device),
        splits.val,
        device=here.device,
        workers=job.settings.workers,
        progress=progress,
        label=f"evaluating {label}",
    )
    run = Run(
        seed=job.seed,
        top1=result.top1,
        top5=result.top5,
        images=result.images,
        skipped=_sentences(result.skipped),
        skipped_in_training=_sentences(splits.train.bad_images()),
        epochs=job.settings.epochs,
        seconds=seconds,
    )
    keep(job, network.cpu(), run, out)
    remove_unfinished(job, out)
    return run


def _sentences(images: Iterable[BadImage]) -> tuple[str, ...]:
    return tuple(map(str, images))
