"""The logits of one pass over the data, from which everything else is computed, and their file."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from resnexus.data.batches import BadImage, Batch
from resnexus.errors import ResnexusError, printable
from resnexus.evaluation.evaluate import answer
from resnexus.evaluation.metrics import top_k_correct
from resnexus.evaluation.seen import SeenImages
from resnexus.files import replacing

_FIELDS = {"logits": "f", "labels": "i", "competing": "i", "files": "U", "sha256": "U", "classes": "U"}
"""Arrays of the file, and what their elements are."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """What a network says of images.

    Attributes:
        logits: (N, classes) float32.
        labels: (N,) int64, numbers of outputs.
        competing: (K,) int64, the outputs that may be an answer, rising.
        files: what the N images are called.
        sha256: of their contents, in hexadecimal.
        classes: names of the outputs.

    Raises:
        ResnexusError: the shapes do not fit, or a label is not among those that compete.
    """

    logits: Tensor
    labels: Tensor
    competing: Tensor
    files: tuple[str, ...]
    sha256: tuple[str, ...]
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        images = len(self.files)
        if (
            self.logits.shape != (images, len(self.classes))
            or self.labels.shape != (images,)
            or len(self.sha256) != images
            or not images
        ):
            raise ResnexusError(
                f"logits of {tuple(self.logits.shape)}, labels of {tuple(self.labels.shape)}, {len(self.sha256)} "
                f"hashes for {images} images and {len(self.classes)} classes: they do not fit, or there is no image"
            )
        if not torch.isin(self.labels, self.competing).all() or not _rising(self.competing, len(self.classes)):
            raise ResnexusError("the labels are not among the outputs that compete, or these are no outputs")

    @property
    def answers(self) -> tuple[Tensor, Tensor]:
        """The logits of the outputs that compete, (N, K), and the labels as their places among these."""
        if len(self.competing) == len(self.classes):
            return self.logits, self.labels
        return self.logits[:, self.competing], torch.searchsorted(self.competing, self.labels)

    @property
    def right(self) -> Tensor:
        """(N,) bool: whether the label has the largest logit of those that compete."""
        return top_k_correct(*self.answers, 1)

    @property
    def keys(self) -> tuple[str, ...]:
        """What tells every image and its label from others: hash and class name."""
        return tuple(
            f"{digest} {self.classes[label]}" for digest, label in zip(self.sha256, self.labels.tolist(), strict=True)
        )

    @property
    def digest(self) -> str:
        """SHA-256 of all but the names of the files, in hexadecimal."""
        found = hashlib.sha256(self.logits.numpy().tobytes())
        for numbers in (self.labels, self.competing):
            found.update(numbers.numpy().tobytes())
        for texts in (self.sha256, self.classes):
            found.update("\0".join(texts).encode("utf-8", "surrogatepass"))
        return found.hexdigest()

    @property
    def images_sha256(self) -> str:
        """One hash of all images and their labels, whatever their order and names."""
        return hashlib.sha256("\n".join(sorted(self.keys)).encode("utf-8", "surrogatepass")).hexdigest()


def predict_all(
    model: Callable[[Tensor], Tensor],
    images: SeenImages,
    competing: tuple[int, ...],
    **options: Any,
) -> tuple[Predictions, tuple[BadImage, ...]]:
    """Run a network over images once and keep its logits.

    Args:
        model: as for `evaluate`.
        images: to run on.
        competing: the outputs that may be an answer.
        **options: of `evaluation.evaluate.answer`.

    Returns:
        The logits of the images that could be read, and those that could not.

    Raises:
        ResnexusError: as for `evaluate`.
    """
    logits: list[Tensor] = []

    def keep(_: Batch, found: Tensor) -> None:
        logits.append(found.float().cpu())

    skipped = answer(model, images, keep, **options)
    read = (~images.missing).nonzero()[:, 0]
    hashes = images.sha256.numpy()
    return (
        Predictions(
            logits=torch.cat(logits),
            labels=images.labels[read],
            competing=torch.tensor(competing),
            files=tuple(images.originals.name(index) for index in read.tolist()),
            sha256=tuple(hashes[index].tobytes().hex() for index in read.tolist()),
            classes=images.classes,
        ),
        skipped,
    )


def write_predictions(predictions: Predictions, path: Path) -> None:
    """Write predictions as NumPy's `.npz`, whole or not at all.

    `numpy.load` reads it: arrays `logits`, `labels`, `competing`, `files`, `sha256` and `classes`. The same predictions
    give the same bytes.

    Raises:
        ResnexusError: the file cannot be written.
    """
    arrays: dict[str, Any] = {name: getattr(predictions, name) for name in _FIELDS}
    arrays = {name: found.numpy() if isinstance(found, Tensor) else np.array(found) for name, found in arrays.items()}
    arrays["files"] = np.array([printable(name) for name in predictions.files])
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def read_predictions(path: Path, digest: str) -> Predictions:
    """Read what `write_predictions` wrote.

    Args:
        path: the file.
        digest: of the predictions, as their record has it.

    Raises:
        ResnexusError: no such file, other predictions than those of the record, or none of ours.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in _FIELDS}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or error
        raise ResnexusError(f"cannot read the predictions {printable(path)}: {printable(reason)}") from error
    for name, kind in _FIELDS.items():
        if arrays[name].dtype.kind != kind:
            raise ResnexusError(f"{printable(path)}: {name} holds {arrays[name].dtype}, which is none of ours")
    found = Predictions(
        logits=torch.from_numpy(arrays["logits"]),
        labels=torch.from_numpy(arrays["labels"]),
        competing=torch.from_numpy(arrays["competing"]),
        files=tuple(arrays["files"].tolist()),
        sha256=tuple(arrays["sha256"].tolist()),
        classes=tuple(arrays["classes"].tolist()),
    )
    if found.digest != digest:
        raise ResnexusError(
            f"{printable(path)} was changed after its evaluation, or its record is another's; evaluate again"
        )
    return found


def paired(first: Predictions, second: Predictions) -> tuple[Tensor, Tensor]:
    """Return whether each of two networks is right, (N,) bool, for the same images in the same order.

    Raises:
        ResnexusError: the images or their labels are not the same.
    """
    if sorted(first.keys) != sorted(second.keys):
        there = len(set(first.keys) & set(second.keys))
        raise ResnexusError(
            f"the two evaluations are of other images: {len(first.files):,} (digest {first.images_sha256[:12]}) and "
            f"{len(second.files):,} (digest {second.images_sha256[:12]}), {there:,} of them the same with the same "
            "label; evaluate both on the same folder"
        )
    orders = (sorted(range(len(one.keys)), key=one.keys.__getitem__) for one in (first, second))
    one, other = (torch.tensor(order) for order in orders)
    return first.right[one], second.right[other]


def _rising(numbers: Tensor, below: int) -> bool:
    return bool(len(numbers) and numbers[0] >= 0 and numbers[-1] < below and (numbers.diff() > 0).all())
