"""Labelled images from class folders or bundled with a library."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from resnexus.data import digits
from resnexus.data.augment import Augment, shifted
from resnexus.data.batches import BadImage, Item
from resnexus.data.folders import FoundImages, find_images
from resnexus.data.order import Draw, drawn
from resnexus.data.preprocess import Preprocess
from resnexus.data.sources import ImageError
from resnexus.data.splitting import split
from resnexus.errors import ResnexusError, printable, unknown

Array = np.ndarray[Any, np.dtype[Any]]

EMBEDDED = ("digits",)
"""Names that `open_dataset` accepts beside folders."""


class LabelledImages(Dataset[Item], ABC):
    """Images with labels 0 .. len(classes) - 1; an item is (image, label) or a `BadImage`.

    An index is a number, or a `Draw`, whose augmentation follows from the seed and the draw alone, not from order,
    batches or workers. A number stands for its draw in epoch 0.
    """

    classes: tuple[str, ...]

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int | Draw) -> Item: ...

    def bad_images(self) -> tuple[BadImage, ...]:
        """Return the files that could not be decoded so far, each once, however many epochs and workers met it."""
        return ()


class ImageFiles(LabelledImages):
    """Image files, decoded when asked for.

    Args:
        paths: the files.
        labels: class of each.
        classes: names of the classes.
        preprocess: the evaluation transform, and the normalisation of the training transform.
        augment: the training transform; None to evaluate.
        seed: of the augmentation.
    """

    def __init__(
        self,
        paths: Sequence[str],
        labels: Sequence[int],
        classes: tuple[str, ...],
        *,
        preprocess: Preprocess,
        augment: Augment | None = None,
        seed: int = 0,
    ) -> None:
        self.paths, self.classes = tuple(paths), classes
        self.labels = torch.tensor(labels, dtype=torch.int64)
        self.preprocess, self.augment, self.seed = preprocess, augment, seed
        self._bad = _shared(torch.bool, len(self.paths))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int | Draw) -> Item:
        draw = drawn(index)
        path = self.paths[draw.image]
        try:
            if self.augment is None:
                image = self.preprocess(path)
            else:
                random = np.random.default_rng((self.seed, draw.epoch, draw.image, draw.repeat))
                image = self.augment(path, self.preprocess, random)
        except ImageError as error:
            self._bad[draw.image] = True
            return BadImage(path, error.reason)
        return image, int(self.labels[draw.image])

    def bad_images(self) -> tuple[BadImage, ...]:
        """Return the files that could not be decoded so far; they are tried once more, for the reason."""
        return tuple(BadImage(self.paths[index], self._reason(self.paths[index])) for index in self._bad.nonzero())

    def _reason(self, path: str) -> str:
        try:
            self.preprocess(path)
        except ImageError as error:
            return error.reason
        return "it could not be read, and now it can"


class ImageArrays(LabelledImages):
    """Small images in memory, already of the size that the network takes.

    Args:
        pixels: (N, H, W, C) uint8.
        labels: (N,) class of each.
        classes: names of the classes.
        preprocess: whose normalisation is applied.
        augment: None to evaluate; only its `shift` can be used.
        seed: of the augmentation.

    Raises:
        ResnexusError: the augmentation crops or flips.
    """

    def __init__(
        self,
        pixels: Array,
        labels: Array,
        classes: tuple[str, ...],
        *,
        preprocess: Preprocess,
        augment: Augment | None = None,
        seed: int = 0,
    ) -> None:
        if augment is not None and (augment.crop_area is not None or augment.flip):
            raise ResnexusError(
                f"crop_area={augment.crop_area}, flip={augment.flip}: images in memory are only shifted; "
                "use Augment(crop_area=None, flip=0, shift=1)"
            )
        self.pixels, self.classes = pixels, classes
        self.labels = torch.from_numpy(labels)
        self.preprocess, self.augment, self.seed = preprocess, augment, seed
        self._prepared: tuple[int, Tensor] | None = None

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int | Draw) -> Item:
        draw = drawn(index)
        return self.images(draw.epoch)[draw.image], int(self.labels[draw.image])

    def images(self, epoch: int = 0) -> Tensor:
        """Return all images of an epoch, (N, C, H, W) float32; an epoch is prepared once, in one go."""
        epoch = epoch if self.augment else 0
        if self._prepared is None or self._prepared[0] != epoch:
            pixels = self.pixels
            if self.augment:
                pixels = shifted(pixels, self.augment.shift, np.random.default_rng((self.seed, epoch)))
            self._prepared = epoch, self.preprocess.normalise(pixels)
        return self._prepared[1]


def _shared(dtype: torch.dtype, *shape: int) -> Tensor:
    """Return zeros that this process and the workers of a DataLoader share, even workers that live on."""
    return torch.zeros(shape, dtype=dtype).share_memory_()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, kw_only=True)
class Splits:
    """A data set: what to train on and what to evaluate on.

    Attributes:
        name: of the data set; a folder's own name.
        classes: names, in the order of the labels.
        train: augmented if that was asked for.
        val: never augmented.
        preprocess: the evaluation transform; `in_chans` and `size` tell what the network takes.
        ignored: what lies among the images of a folder and is not used; `ignored_note` counts it.
        split: how a folder without train/ and val/ was divided, in a sentence.
    """

    name: str
    classes: tuple[str, ...]
    train: LabelledImages
    val: LabelledImages
    preprocess: Preprocess
    ignored: tuple[str, ...] = ()
    split: str = ""


def open_dataset(
    path_or_name: str | os.PathLike[str],
    preprocess: Preprocess | None = None,
    augment: Augment | None = None,
    *,
    seed: int = 0,
    val_fraction: float | None = None,
) -> Splits:
    """Open a data set: a folder, or one of `EMBEDDED` by name.

    A folder holds train/CLASS/ and val/CLASS/, or CLASS/ alone; it is read as `find_images` says. `"digits"` is the
    embedded data set; a folder of that name is `"./digits"`.

    Args:
        path_or_name: the folder or the name.
        preprocess: for a folder; the transform of the published series if None. An embedded data set has its own.
        augment: the training transform; None for none.
        seed: of the augmentation.
        val_fraction: how much of every class is for evaluation where a folder has no train/ and val/; a fifth if None.

    Raises:
        ResnexusError: neither a folder nor a name, a folder laid out otherwise, or options that an embedded data set
            cannot use.
    """
    if path_or_name in EMBEDDED:
        for option, value in (("preprocess", preprocess), ("val_fraction", val_fraction)):
            if value is not None:
                raise ResnexusError(
                    f"{option} has no effect on {path_or_name!r}: the data set has its own; leave it out"
                )
        return _digits(augment, seed)
    root = Path(path_or_name)
    if not root.is_dir():
        what = "a file, not a folder" if root.exists() else "no folder"
        name = unknown("embedded data set", os.fspath(path_or_name), EMBEDDED)
        raise ResnexusError(f"data {os.fspath(path_or_name)!r}: {what} with train/ and val/ is there, and {name}")
    return _folder(root, find_images(root, val_fraction), preprocess or Preprocess(), augment, seed)


def _digits(augment: Augment | None, seed: int) -> Splits:
    pixels, labels = digits.load_digits()
    train, val = split(labels)
    intensities = pixels[train] / 255
    mean, std = round(float(intensities.mean()), 4), round(float(intensities.std()), 4)
    preprocess = Preprocess(size=digits.SIZE, resize_short=digits.SIZE, mean=(mean,), std=(std,))
    return Splits(
        name="digits",
        classes=digits.CLASSES,
        train=ImageArrays(
            pixels[train], labels[train], digits.CLASSES, preprocess=preprocess, augment=augment, seed=seed
        ),
        val=ImageArrays(pixels[val], labels[val], digits.CLASSES, preprocess=preprocess),
        preprocess=preprocess,
    )


def _folder(root: Path, found: FoundImages, preprocess: Preprocess, augment: Augment | None, seed: int) -> Splits:
    def files(paths: Mapping[str, Sequence[str]], augment: Augment | None) -> ImageFiles:
        numbered = [(path, number) for number, name in enumerate(found.classes) for path in paths[name]]
        return ImageFiles(
            [path for path, _ in numbered],
            [number for _, number in numbered],
            found.classes,
            preprocess=preprocess,
            augment=augment,
            seed=seed,
        )

    return Splits(
        name=printable(root.resolve().name),
        classes=found.classes,
        train=files(found.train, augment),
        val=files(found.val, None),
        preprocess=preprocess,
        ignored=found.ignored,
        split=found.split,
    )
