"""Top-1 and top-5 of a network on a data set."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import chain
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from resnexus.data.batches import BadImage, Batch, collate
from resnexus.data.labelled import LabelledImages
from resnexus.devices import device_named
from resnexus.errors import ResnexusError, unknown
from resnexus.evaluation.metrics import top_k_correct
from resnexus.progress import Progress, Silent

Precision = Literal["fp32", "bf16", "fp16"]
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How often a network is right.

    Attributes:
        top1: fraction of `images` whose label has the largest logit.
        top5: fraction of `images` whose label is among the five largest logits; all classes if there are fewer.
        images: images that were evaluated.
        skipped: files that could not be decoded; they count as neither right nor wrong.
        seconds: wall-clock time, decoding included.
    """

    top1: float
    top5: float
    images: int
    skipped: tuple[BadImage, ...]
    seconds: float


def evaluate(
    model: Callable[[Tensor], Tensor],
    dataset: LabelledImages,
    *,
    batch_size: int = 64,
    device: str | torch.device = "cpu",
    workers: int = 0,
    precision: Precision = "fp32",
    progress: Progress | None = None,
    label: str = "evaluating",
) -> Evaluation:
    """Count how often a network is right on a data set.

    A module runs in evaluation mode without gradients; afterwards every part of it is in the mode that it was in.

    Args:
        model: a module, which is on `device`, or any callable: (N, C, H, W) float32 -> (N, classes) logits.
        dataset: what to evaluate on, e.g. `open_dataset(...).val`. A file that cannot be decoded is skipped and
            named in the result.
        batch_size: images per forward pass.
        device: where the images go, as `resnexus.devices.device_named` takes it: `"cpu"`, `"gpu"`, `"cuda:1"`.
        workers: processes that decode; 0 decodes in this one.
        precision: `"bf16"` or `"fp16"` runs a module under autocast. Another callable has its own precision.
        progress: where to report the images that are done; nowhere if None.
        label: what the stage is called there.

    Raises:
        ResnexusError: the data set is empty or no file can be decoded, the classes or channels of the model are not
            the data set's, its parameters are elsewhere, logits are not finite, or an option is not accepted.
    """
    start = time.perf_counter()
    # Top-1, top-5 and images: added up on the device, read once.
    counts = torch.zeros(2, dtype=torch.int64, device=device_named(device))
    images = 0

    def count(batch: Batch, logits: Tensor) -> None:
        nonlocal counts, images
        counts += torch.stack([top_k_correct(logits, batch.labels, k).sum() for k in (1, 5)])
        images += len(batch.labels)

    skipped = answer(
        model,
        dataset,
        count,
        batch_size=batch_size,
        device=device,
        workers=workers,
        precision=precision,
        progress=progress,
        label=label,
    )
    top1, top5 = counts.tolist()
    seconds = time.perf_counter() - start
    return Evaluation(top1=top1 / images, top5=top5 / images, images=images, skipped=skipped, seconds=seconds)


def answer(
    model: Callable[[Tensor], Tensor],
    dataset: LabelledImages,
    receive: Callable[[Batch, Tensor], None],
    *,
    batch_size: int = 64,
    device: str | torch.device = "cpu",
    workers: int = 0,
    precision: Precision = "fp32",
    progress: Progress | None = None,
    label: str = "evaluating",
) -> tuple[BadImage, ...]:
    """Run a network over a data set once, and hand on its logits batch by batch.

    Args:
        model: as for `evaluate`.
        dataset: likewise.
        receive: called with every batch, on `device`, and its (N, classes) logits there.
        batch_size: as for `evaluate`, as is all that follows.
        device: where the images go.
        workers: processes that decode.
        precision: of a module.
        progress: where to report.
        label: of the stage.

    Returns:
        The files that could not be decoded.

    Raises:
        ResnexusError: as for `evaluate`; what is not finite is told after the last batch.
    """
    target = device_named(device)
    _check(model, dataset, target, batch_size=batch_size, workers=workers, precision=precision)
    loader = DataLoader(
        dataset,
        batch_size=batch_size,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=target.type == "cuda",
    )
    broken = torch.zeros((), dtype=torch.int64, device=target)
    images, skipped = 0, list[BadImage]()
    progress = Silent() if progress is None else progress
    with in_evaluation_mode(model), torch.no_grad(), progress.stage(label, len(dataset)) as step:
        for batch in loader:
            skipped += batch.bad
            images += len(batch.labels)
            if len(batch.labels):
                there = batch.to(target, non_blocking=True)
                logits = _logits(model, there, dataset, precision)
                broken += (~logits.isfinite().all(1)).sum()
                receive(there, logits)
            step(len(batch.labels) + len(batch.bad))
    if not images:
        raise ResnexusError(f"none of {len(skipped)} files could be decoded; the first, {skipped[0]}")
    if count := int(broken):
        raise ResnexusError(
            f"the logits of {count} of {images} images are not finite: the network overflows or diverged"
        )
    return tuple(skipped)


def _logits(model: Callable[[Tensor], Tensor], batch: Batch, dataset: LabelledImages, precision: Precision) -> Tensor:
    in_chans, found = getattr(model, "in_chans", None), batch.images.shape[1]
    if in_chans not in (None, found):
        raise ResnexusError(
            f"the model takes images of {in_chans} channels and the data set has {found}; "
            f"create the model with in_chans={found}"
        )
    cast: AbstractContextManager[object] = nullcontext()
    if precision in _DTYPES:
        cast = torch.autocast(batch.images.device.type, dtype=_DTYPES[precision])
    with cast:
        logits = model(batch.images)
    if logits.shape != (len(batch.labels), len(dataset.classes)):
        raise ResnexusError(
            f"the model returns {tuple(logits.shape)} for {len(batch.labels)} images and the data set has "
            f"{len(dataset.classes)} classes; create the model with num_classes={len(dataset.classes)}"
        )
    return logits.to(batch.labels.device)


@contextmanager
def in_evaluation_mode(model: object) -> Iterator[None]:
    """Put a module into evaluation mode, and afterwards every part of it into the mode that it was in."""
    modes = {module: module.training for module in model.modules()} if isinstance(model, nn.Module) else {}
    if isinstance(model, nn.Module):
        model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def _check(
    model: object, dataset: LabelledImages, device: torch.device, *, batch_size: int, workers: int, precision: str
) -> None:
    if precision not in get_args(Precision):
        raise unknown("precision", precision, get_args(Precision))
    if batch_size < 1 or workers < 0:
        raise ResnexusError(f"batch_size={batch_size}, workers={workers}: expected at least 1 and at least 0")
    if not len(dataset):
        raise ResnexusError("the data set is empty: nothing to evaluate")
    if not isinstance(model, nn.Module):
        if precision != "fp32":
            raise ResnexusError(f"precision={precision!r} has no effect on a callable that is not a module")
        return
    elsewhere = {str(t.device) for t in chain(model.parameters(), model.buffers()) if t.device.type != device.type}
    if elsewhere:
        raise ResnexusError(
            f"the model is on {', '.join(sorted(elsewhere))} and device={str(device)!r}: call model.to({str(device)!r})"
        )
