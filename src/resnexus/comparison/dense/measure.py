"""How good a segmenter or a detector is: mIoU and mAP, by torchmetrics and COCO's own evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from resnexus.comparison.dense.networks import DenseNetwork, Prediction
from resnexus.comparison.dense.sources import Scenes, Source
from resnexus.data.canvases import SIZE, DenseBatch
from resnexus.data.photographs.photographs import VOID, Task
from resnexus.packages import required
from resnexus.progress import Progress

METRICS = {"segmentation": "miou", "detection": "map"}
"""The figure that networks are compared by, a fraction."""

BATCH = 50
"""Canvases that are evaluated at once; of larger images as many as have as many pixels."""


def measured(
    network: DenseNetwork, source: Source, task: Task, *, device: str, progress: Progress, label: str
) -> dict[str, float]:
    """Evaluate a network; afterwards it is in evaluation mode.

    mIoU: intersection over union of every class, the background included, over all pixels of all images that have a
    class, and of these the mean. mAP: COCO's, the mean over the classes and over thresholds of 0.50 to 0.95 for the
    overlap; the same at 0.50 alone beside it.

    Args:
        network: on `device`.
        source: of the images to evaluate on.
        task: what the network does.
        device: `"cpu"` or `"cuda"`.
        progress: where to report.
        label: what the stage is called there.

    Returns:
        `"miou"`, or `"map"` and `"map_50"`, fractions.
    """
    scenes = source.val()
    metric = _miou(source.form.classes) if task == "segmentation" else _map()
    with progress.stage(label, len(scenes)) as advance:
        for batch in batches(scenes, source):
            found = predictions(network, batch, device)
            if task == "segmentation":
                metric.update(torch.stack([one.classes for one in found if one.classes is not None]), batch.labels)
            else:
                metric.update([_given(one) for one in found], list(batch.targets))
            advance(len(batch.images))
    values = metric.compute()
    if task == "segmentation":
        return {"miou": float(values)}
    # COCO says -1 where there is nothing to be found.
    return {name: max(0.0, float(values[name])) for name in ("map", "map_50")}


def batches(scenes: Scenes, source: Source) -> Iterator[DenseBatch]:
    """Yield all scenes in order."""
    at_once = max(1, BATCH * SIZE**2 // source.form.size**2)
    for start in range(0, len(scenes), at_once):
        yield source.collate([scenes[index] for index in range(start, min(start + at_once, len(scenes)))])


def predictions(network: DenseNetwork, batch: DenseBatch, device: str) -> list[Prediction]:
    """Return what a network finds, on the CPU."""
    with torch.inference_mode():
        found = network.eval().predict(batch.images.to(device))
    return [replace(one, **{name: x.cpu() for name, x in _given(one).items()}) for one in found]


def _given(found: Prediction) -> dict[str, Tensor]:
    return {name: value for name, value in vars(found).items() if value is not None}


def _miou(classes: int) -> Any:
    return required("torchmetrics").JaccardIndex(
        task="multiclass", num_classes=classes, average="macro", ignore_index=VOID
    )


def _map() -> Any:
    required("pycocotools")
    required("torchmetrics")
    from torchmetrics.detection import MeanAveragePrecision

    return MeanAveragePrecision(backend="pycocotools")
