"""One training of one network, from its start to what is kept of it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from resnexus.comparison.jobs import Training
from resnexus.comparison.kept import keep
from resnexus.data.batches import BadImage
from resnexus.evaluation.evaluate import evaluate
from resnexus.progress import Progress
from resnexus.report.record import Run
from resnexus.training.fit import fit
from resnexus.training.hardware import hardware


def train(job: Training, out: Path, progress: Progress, label: str) -> Run:
    """Train, evaluate where it was trained, and keep weights and record in `out`.

    Args:
        job: what to train.
        out: folder of the comparison.
        progress: where to report.
        label: what the job is called there.

    Raises:
        ResnexusError: as `fit` and `evaluate` do, or the folder cannot be written.
    """
    network, splits, device = job.network(), job.data.splits, hardware().device
    start = time.perf_counter()
    fit(
        network,
        splits.train,
        len(splits.classes),
        job.settings,
        seed=job.seed,
        progress=progress,
        label=f"training {label}",
    )
    seconds = time.perf_counter() - start
    result = evaluate(
        network.to(device),
        splits.val,
        device=device,
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
    return run


def _sentences(images: Iterable[BadImage]) -> tuple[str, ...]:
    return tuple(map(str, images))
