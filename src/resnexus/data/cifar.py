"""CIFAR-10 and CIFAR-100, as torchvision reads them: 60,000 pictures of 32 x 32 (Krizhevsky 2009)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Unpack

import numpy as np

from resnexus.data.labelled import Splits, StoredImages, Transforms, evaluating
from resnexus.errors import ResnexusError, printable

Array = np.ndarray[Any, np.dtype[Any]]

KINDS = {"cifar10": "CIFAR10", "cifar100": "CIFAR100"}
"""What a data set is called here, and in torchvision."""


class Pictures(StoredImages):
    """Pictures that are in memory, decoded.

    Args:
        title: what they are called; a picture has its number besides.
        pixels: (N, H, W, 3) uint8.
        labels: (N,) class of each.
        classes: names of the classes.
        transforms: what else `StoredImages` takes.
    """

    def __init__(
        self, title: str, pixels: Array, labels: Array, classes: tuple[str, ...], **transforms: Unpack[Transforms]
    ) -> None:
        super().__init__(labels, classes, **transforms)
        self.title, self.pixels = title, pixels

    def name(self, index: int) -> str:
        """Return the title and the number."""
        return f"{self.title} {index}"

    def source(self, index: int) -> Array:
        """Return a picture, (H, W, 3) uint8."""
        return self.pixels[index]

    def identity(self, index: int) -> str:
        """Return all of a picture, as text."""
        return self.pixels[index].tobytes().decode("latin-1")


def open_cifar(kind: str, folder: Path, transforms: Transforms, *, download: bool) -> Splits:
    """Open one of `KINDS`: its training part to train on, its test part to evaluate on.

    torchvision compares the files with the digests that it knows before it reads them.

    Args:
        kind: of `KINDS`.
        folder: that has `cifar-10-batches-py` or `cifar-100-python`, unpacked, or is to have it.
        transforms: what becomes of the pictures.
        download: fetch it from its authors' server if it is not there.

    Raises:
        ResnexusError: it is not there or damaged, or cannot be fetched.
    """
    import torchvision.datasets

    reader = getattr(torchvision.datasets, KINDS[kind])
    try:
        parts = {part: reader(folder, train=part == "train", download=download) for part in ("train", "test")}
    except (RuntimeError, OSError) as error:
        if download:
            raise ResnexusError(f"cannot fetch {kind} to {printable(folder)}: {printable(error)}") from error
        raise ResnexusError(
            f"{kind}:{printable(folder)}: there is no {reader.base_folder}/ with the files of {kind}, or one is "
            f"damaged; unpack {reader.filename} there, or fetch it: --download, download=True"
        ) from error
    classes = tuple(map(printable, parts["train"].classes))

    def pictures(part: str, transforms: Transforms) -> Pictures:
        labels = np.asarray(parts[part].targets, np.int64)
        return Pictures(f"{kind} {part}", parts[part].data, labels, classes, **transforms)

    return Splits(
        name=kind,
        classes=classes,
        train=pictures("train", transforms),
        val=pictures("test", evaluating(transforms)),
        preprocess=transforms["preprocess"],
    )
