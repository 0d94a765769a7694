"""Labelled images: what a data set consists of, wherever its images lie."""

from __future__ import annotations

import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Required, TypedDict, Unpack

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from resnexus.data.augment import Augment, shifted
from resnexus.data.batches import BadImage, Item
from resnexus.data.folders import ignored_note
from resnexus.data.order import Draw, drawn
from resnexus.data.preprocess import AnyImage, Preprocess
from resnexus.data.sources import ImageError
from resnexus.errors import ResnexusError

Array = np.ndarray[Any, np.dtype[Any]]


class Transforms(TypedDict, total=False):
    """What becomes of the images of a data set: `preprocess`, `augment` and `seed`, as `StoredImages` takes them."""

    preprocess: Required[Preprocess]
    augment: Augment | None
    seed: int


def evaluating(transforms: Transforms) -> Transforms:
    """Return what becomes of images to evaluate on: no augmentation."""
    return {**transforms, "augment": None}


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


class StoredImages(LabelledImages):
    """Images that lie somewhere and are decoded when asked for; what is known of each is its label.

    Args:
        labels: class of each.
        classes: names of the classes.
        preprocess: the evaluation transform, and the normalisation of the training transform.
        augment: the training transform; None to evaluate.
        seed: of the augmentation.
    """

    def __init__(
        self,
        labels: Sequence[int] | Array,
        classes: tuple[str, ...],
        *,
        preprocess: Preprocess,
        augment: Augment | None = None,
        seed: int = 0,
    ) -> None:
        self.classes = classes
        self.labels = torch.tensor(labels, dtype=torch.int64)
        self.preprocess, self.augment, self.seed = preprocess, augment, seed
        self._bad = _shared(torch.bool, len(self.labels))

    @abstractmethod
    def name(self, index: int) -> str:
        """Return what an image is called: its path, or the place where it lies and its name there."""

    @abstractmethod
    def source(self, index: int) -> AnyImage:
        """Return an image as `Preprocess` takes it.

        Raises:
            ImageError: it cannot be read.
        """

    @abstractmethod
    def identity(self, index: int) -> str:
        """Return what tells an image from another in its place, without reading it: a part of the data set's hash."""

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int | Draw) -> Item:
        draw = drawn(index)
        label = int(self.labels[draw.image])  # an IndexError ends an iteration
        try:
            source = self.source(draw.image)
            if self.augment is None:
                return self.preprocess(source), label
            random = np.random.default_rng((self.seed, draw.epoch, draw.image, draw.repeat))
            return self.augment(source, self.preprocess, random), label
        except ImageError as error:
            self._bad[draw.image] = True
            return BadImage(self.name(draw.image), error.reason)

    def bad_images(self) -> tuple[BadImage, ...]:
        """Return the images that could not be decoded so far; they are tried once more, for the reason."""
        indices: list[int] = self._bad.nonzero().flatten().tolist()
        return tuple(BadImage(self.name(index), self._reason(index)) for index in indices)

    def _reason(self, index: int) -> str:
        try:
            self.preprocess(self.source(index))
        except ImageError as error:
            return error.reason
        return "it could not be read, and now it can"


class ImageFiles(StoredImages):
    """Image files.

    Args:
        paths: the files.
        labels: class of each.
        classes: names of the classes.
        transforms: what else `StoredImages` takes.
    """

    def __init__(
        self, paths: Sequence[str], labels: Sequence[int], classes: tuple[str, ...], **transforms: Unpack[Transforms]
    ) -> None:
        super().__init__(labels, classes, **transforms)
        self.paths = tuple(paths)

    def name(self, index: int) -> str:
        """Return the path."""
        return self.paths[index]

    source = name

    def identity(self, index: int) -> str:
        """Return path and size in bytes."""
        return f"{self.paths[index]}\0{_size(self.paths[index])}\0"


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

    @property
    def remarks(self) -> tuple[str, ...]:
        """What whoever uses the data is to be told, in sentences: how they were divided, and what is ignored."""
        return tuple(filter(None, (self.split, ignored_note(self.ignored) if self.ignored else "")))


def _shared(dtype: torch.dtype, *shape: int) -> Tensor:
    """Return zeros that this process and the workers of a DataLoader share, even workers that live on."""
    return torch.zeros(shape, dtype=dtype).share_memory_()  # type: ignore[no-untyped-call]


def _size(path: str) -> int | None:
    """Return the size of a file; None if there is none, as behind a dangling link."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None
