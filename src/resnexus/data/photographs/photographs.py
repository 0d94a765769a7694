"""Photographs with what is to be found on them, all brought to one size."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from resnexus.data.batches import BadImage
from resnexus.data.canvases import DenseBatch
from resnexus.data.order import Draw, drawn
from resnexus.data.preprocess import Preprocess

Array = np.ndarray[Any, np.dtype[Any]]
Task = Literal["segmentation", "detection"]

VOID = 255
"""The class of a pixel that is neither background nor an object's: of a border, an overlap, a crowd, the padding."""


@dataclass(frozen=True, kw_only=True)
class Photograph:
    """One photograph, and all that is to be found on it.

    Attributes:
        pixels: (H, W, 3) uint8.
        classes: (H, W) uint8: 0 the background, k + 1 class k, or `VOID`; all of it `VOID` where only boxes are known.
        boxes: (n, 4) float32: left, top, right, bottom in pixels; right and bottom are outside.
        labels: (n,) int64, the class of each box from 0.
        crowds: (n,) bool: whether a box is not asked for: a crowd of COCO, a difficult object of Pascal VOC.
    """

    pixels: Array
    classes: Array
    boxes: Array
    labels: Array
    crowds: Array


class Photographs(Dataset[Photograph], ABC):
    """Photographs of one size: the long side is brought to it, and what is missing of the short one is padded.

    To train, a photograph is flipped left to right with probability 1/2: by the seed and the draw alone.

    Args:
        classes: names, without the background.
        size: pixels on a side.
        train: whether they are flipped.
        seed: of the flips.
    """

    def __init__(self, classes: tuple[str, ...], size: int, *, train: bool, seed: int) -> None:
        self.classes, self.size, self.train, self.seed = classes, size, train, seed

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, index: int) -> Photograph:
        """Return a photograph as it lies in its folder.

        Raises:
            ResnexusError: it cannot be read; the message names the file.
        """

    def __getitem__(self, index: int | Draw) -> Photograph:
        draw = drawn(index)
        if not 0 <= draw.image < len(self):
            raise IndexError(f"photograph {draw.image} of {len(self)}")
        flip = self.train and np.random.default_rng((self.seed, draw.epoch, draw.image, draw.repeat)).random() < 0.5
        return framed(self.read(draw.image), self.size, flip=bool(flip))

    def bad_images(self) -> tuple[BadImage, ...]:
        """Return nothing: a photograph that cannot be read ends the training."""
        return ()


@dataclass(frozen=True, kw_only=True)
class PhotographSplits:
    """Photographs to train and to evaluate on.

    Attributes:
        name: of the folder.
        classes: names, without the background.
        train: flipped.
        val: as they are.
        digest: SHA-256 of what is said of them, in hexadecimal.
    """

    name: str
    classes: tuple[str, ...]
    train: Photographs
    val: Photographs
    digest: str


def framed(found: Photograph, size: int, *, flip: bool) -> Photograph:
    """Return a photograph brought into a square: (size, size), padded at the right and at the bottom.

    Boxes that are then less than a pixel wide or high are not asked for, as crowds.
    """
    height, width = found.pixels.shape[:2]
    scale = size / max(height, width)
    high, wide = (max(1, round(side * scale)) for side in (height, width))
    pixels = np.zeros((size, size, 3), dtype=np.uint8)
    pixels[:] = np.rint(255 * np.array(Preprocess().mean)).astype(np.uint8)  # nothing, once it is normalised
    pixels[:high, :wide] = np.asarray(Image.fromarray(found.pixels).resize((wide, high), Image.Resampling.BILINEAR))
    classes = np.full((size, size), VOID, dtype=np.uint8)
    classes[:high, :wide] = np.asarray(Image.fromarray(found.classes).resize((wide, high), Image.Resampling.NEAREST))
    boxes = found.boxes * np.array([wide / width, high / height] * 2, dtype=np.float32)
    if flip:
        pixels[:high, :wide] = pixels[:high, :wide][:, ::-1].copy()
        classes[:high, :wide] = classes[:high, :wide][:, ::-1].copy()
        boxes[:, [0, 2]] = wide - boxes[:, [2, 0]]
    thin = (boxes[:, 2:] - boxes[:, :2] < 1).any(axis=1)
    return Photograph(
        pixels=pixels, classes=classes, boxes=boxes, labels=found.labels, crowds=np.asarray(found.crowds | thin)
    )


def collate_photographs(photographs: Sequence[Photograph]) -> DenseBatch:
    """Make a batch: colours normalised as the published networks' are, classes and boxes as they are.

    The targets have `"iscrowd"`, (n,) bool, beside boxes and labels.
    """
    return DenseBatch(
        images=Preprocess().normalise(np.stack([one.pixels for one in photographs])),
        labels=torch.from_numpy(np.stack([one.classes for one in photographs]).astype(np.int64)),
        targets=tuple(
            {
                "boxes": torch.from_numpy(one.boxes),
                "labels": torch.from_numpy(one.labels + 1),
                "iscrowd": torch.from_numpy(one.crowds),
            }
            for one in photographs
        ),
    )
