"""How good a segmenter or a detector is: mIoU and mAP, by torchmetrics and COCO's own evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from resnexus.comparison.dense.networks import NUM_CLASSES, DenseNetwork, Prediction, Task
from resnexus.data.canvases import Canvases, DenseBatch, collate_canvases
from resnexus.packages import required
from resnexus.progress import Progress

METRICS = {"segmentation": "miou", "detection": "map"}
"""The figure that networks are compared by, a fraction."""

BATCH = 50


def measured(
    network: DenseNetwork, canvases: Canvases, task: Task, *, device: str, progress: Progress, label: str
) -> dict[str, float]:
    """Evaluate a network; afterwards it is in evaluation mode.

    mIoU: intersection over union of every class, the background included, over all pixels of all canvases, and of
    these the mean. mAP: COCO's, the mean over the classes and over thresholds of 0.50 to 0.95 for the overlap; the
    same at 0.50 alone beside it.

    Args:
        network: on `device`.
        canvases: to evaluate on.
        task: what the network does.
        device: `"cpu"` or `"cuda"`.
        progress: where to report.
        label: what the stage is called there.

    Returns:
        `"miou"`, or `"map"` and `"map_50"`, fractions.
    """
    found, truths = [], []
    with progress.stage(label, len(canvases)) as advance:
        for batch in batches(canvases):
            found += predictions(network, batch, device)
            truths.append(batch)
            advance(len(batch.images))
    return _miou(found, truths) if task == "segmentation" else _map(found, truths)


def batches(canvases: Canvases) -> Iterator[DenseBatch]:
    """Yield all canvases in order."""
    for start in range(0, len(canvases), BATCH):
        yield collate_canvases([canvases[index] for index in range(start, min(start + BATCH, len(canvases)))])


def predictions(network: DenseNetwork, batch: DenseBatch, device: str) -> list[Prediction]:
    """Return what a network finds, on the CPU."""
    with torch.inference_mode():
        found = network.eval().predict(batch.images.to(device))
    return [Prediction(**{name: None if x is None else x.cpu() for name, x in vars(one).items()}) for one in found]


def _miou(found: Sequence[Prediction], truths: Sequence[DenseBatch]) -> dict[str, float]:
    metric = required("torchmetrics").JaccardIndex(task="multiclass", num_classes=NUM_CLASSES, average="macro")
    metric.update(
        torch.stack([one.classes for one in found if one.classes is not None]),
        torch.cat([batch.labels for batch in truths]),
    )
    return {"miou": float(metric.compute())}


def _map(found: Sequence[Prediction], truths: Sequence[DenseBatch]) -> dict[str, float]:
    required("pycocotools")
    required("torchmetrics")
    from torchmetrics.detection import MeanAveragePrecision

    metric = MeanAveragePrecision(backend="pycocotools")
    metric.update(
        [{name: value for name, value in vars(one).items() if value is not None} for one in found],
        [target for batch in truths for target in batch.targets],
    )
    values = metric.compute()
    # COCO says -1 where there is nothing to be found.
    return {name: max(0.0, float(values[name])) for name in ("map", "map_50")}
