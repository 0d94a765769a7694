"""What the page shows of a comparison: a few scenes with the truth, and what a network finds in them."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from resnexus.comparison.dense.measure import predictions
from resnexus.comparison.dense.networks import DenseNetwork, Prediction
from resnexus.comparison.dense.sources import Source
from resnexus.data.canvases import BACKGROUND
from resnexus.data.photographs.photographs import Task
from resnexus.report.dense.record import LETTERS, UNCLEAR, Box, Example, Scene

EXAMPLES = 4
"""Scenes that the page shows: the first of those that are evaluated."""

SIDE = 128
"""The longest side of an example: larger images are shown smaller."""

LEAST_SCORE = 0.4
"""Of the boxes that the page shows."""

Array = np.ndarray[Any, np.dtype[Any]]


def examples(source: Source, task: Task) -> tuple[Example, ...]:
    """Return the scenes that the page shows, with the truth in the form that the task finds it."""
    scenes = source.val()
    return tuple(_example(scenes[index], source, task) for index in _shown(source))


def found_in_examples(network: DenseNetwork, source: Source, device: str) -> tuple[Scene, ...]:
    """Return what a network finds in the scenes that the page shows."""
    scenes = source.val()
    return tuple(
        _predicted(found, source)
        for index in _shown(source)
        for found in predictions(network, source.collate([scenes[index]]), device)
    )


def _shown(source: Source) -> range:
    return range(min(EXAMPLES, len(source.val())))


def _example(scene: Any, source: Source, task: Task) -> Example:
    pixels = np.asarray(scene.pixels)
    side = _side(source)
    if side != len(pixels):
        pixels = np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR))
    if task == "segmentation":
        truth = Scene(classes=_letters(np.asarray(scene.classes), source))
    else:
        asked = ~getattr(scene, "crowds", np.zeros(len(scene.labels), dtype=bool))
        entries = zip(scene.boxes[asked].tolist(), scene.labels[asked], strict=True)
        truth = Scene(boxes=tuple(_box(corners, source, int(label)) for corners, label in entries))
    return Example(pixels=tuple(row.tobytes().hex() for row in pixels), colour=pixels.ndim == 3, truth=truth)


def _predicted(found: Prediction, source: Source) -> Scene:
    if found.boxes is None or found.labels is None or found.scores is None:
        return Scene(classes=_letters(np.asarray(found.classes), source))
    entries = zip(found.boxes.tolist(), found.labels.tolist(), found.scores.tolist(), strict=True)
    return Scene(
        boxes=tuple(
            _box(corners, source, label - 1, round(score, 4))
            for corners, label, score in entries
            if score >= LEAST_SCORE and label != BACKGROUND
        )
    )


def _side(source: Source) -> int:
    return min(SIDE, source.form.size)


def _box(corners: list[float], source: Source, label: int, score: float | None = None) -> Box:
    scale = _side(source) / source.form.size
    left, top, right, bottom = (round(scale * value, 2) for value in corners)
    return Box(left=left, top=top, right=right, bottom=bottom, label=source.classes[label], score=score)


def _letters(classes: Array, source: Source) -> tuple[str, ...]:
    side = _side(source)
    if side != len(classes):
        small = Image.fromarray(classes.astype(np.uint8)).resize((side, side), Image.Resampling.NEAREST)
        classes = np.asarray(small)
    letters = np.full(256, UNCLEAR)
    letters[: source.form.classes] = list(("." + LETTERS)[: source.form.classes])
    return tuple("".join(row) for row in letters[classes])
