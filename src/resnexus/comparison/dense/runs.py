"""One training of one segmenter or detector, from its start to what is kept of it."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np

from resnexus.comparison.dense.jobs import DenseTraining, keep
from resnexus.comparison.dense.measure import measured, predictions
from resnexus.comparison.dense.networks import DenseNetwork, Prediction
from resnexus.comparison.interruptions import unfinished_path
from resnexus.data.canvases import BACKGROUND, CLASSES, Canvas, Canvases, collate_canvases
from resnexus.progress import Progress
from resnexus.report.dense.record import Box, DenseRun, Example, Scene
from resnexus.training.hardware import hardware
from resnexus.training.train import train as train_network

EXAMPLES = 4
"""Canvases that the page shows: the first of those that are evaluated."""

LEAST_SCORE = 0.4
"""Of the boxes that the page shows."""


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
        job.train_canvases,
        None,
        job.settings.recipe(job.seed),
        unfinished,
        accelerator=here.accelerator,
        progress=progress,
        label=f"training {label}",
        collated=collate_canvases,
        module=DenseLearner,
    )
    seconds = time.perf_counter() - start
    network.to(here.device)
    scores = measured(
        network, job.val_canvases, job.task, device=here.device, progress=progress, label=f"evaluating {label}"
    )
    run = DenseRun(
        seed=job.seed,
        scores=scores,
        losses=tuple(float(row["train_loss"]) for row in outcome.rows),
        seconds=seconds,
        found=_found(network, job.val_canvases, here.device),
    )
    keep(job, run, out)
    shutil.rmtree(unfinished, ignore_errors=True)
    return run


def examples(job: DenseTraining) -> tuple[Example, ...]:
    """Return the canvases that the page shows, with the truth in the form that the task finds it."""
    return tuple(
        Example(
            pixels=tuple(row.tobytes().hex() for row in canvas.pixels),
            truth=_scene(_classes(canvas.classes) if job.task == "segmentation" else (), canvas),
        )
        for canvas in _shown(job.val_canvases)
    )


def _shown(canvases: Canvases) -> list[Canvas]:
    return [canvases[index] for index in range(min(EXAMPLES, len(canvases)))]


def _scene(classes: tuple[str, ...], canvas: Canvas) -> Scene:
    if classes:
        return Scene(classes=classes)
    found = zip(canvas.boxes.tolist(), canvas.labels, strict=True)
    return Scene(boxes=tuple(_box(corners, CLASSES[label]) for corners, label in found))


def _found(network: DenseNetwork, canvases: Canvases, device: str) -> tuple[Scene, ...]:
    return tuple(map(_predicted, predictions(network, collate_canvases(_shown(canvases)), device)))


def _predicted(found: Prediction) -> Scene:
    if found.boxes is None or found.labels is None or found.scores is None:
        return Scene(classes=_classes(np.asarray(found.classes)))
    entries = zip(found.boxes.tolist(), found.labels.tolist(), found.scores.tolist(), strict=True)
    return Scene(
        boxes=tuple(
            _box(corners, CLASSES[label - 1], round(score, 4))
            for corners, label, score in entries
            if score >= LEAST_SCORE and label != BACKGROUND
        )
    )


def _box(corners: list[float], label: str, score: float | None = None) -> Box:
    left, top, right, bottom = (round(value, 2) for value in corners)
    return Box(left=left, top=top, right=right, bottom=bottom, label=label, score=score)


def _classes(classes: np.ndarray) -> tuple[str, ...]:
    letters = np.array([".", *CLASSES])
    return tuple("".join(row) for row in letters[classes])
