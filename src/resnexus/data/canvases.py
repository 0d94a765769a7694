"""Digits composed on canvases, with exact boxes and masks: dense prediction that can be learned in minutes.

The glyphs are scikit-learn's digits; those to train on and those held out are apart. On a noisy ground lie fragments
of other glyphs, which are nothing to be found, and over them 2 to 5 digits of any size, some of them overlapping.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from resnexus.data import digits
from resnexus.data.batches import BadImage
from resnexus.data.order import Draw, drawn
from resnexus.data.splitting import split

Array = np.ndarray[Any, np.dtype[Any]]

SIZE = 64
"""Pixels on a side of a canvas."""

CLASSES = digits.CLASSES
BACKGROUND = 0
"""The class of a pixel that belongs to no digit; the digit d is class d + 1, for boxes, too."""

MEAN, STD = 0.2, 0.19  # of the pixels over 255, roughly

_DIGITS = (2, 5)
_DIGIT_SIZE = (16, 29)
_FRAGMENTS = (3, 6)
_FRAGMENT_SIZE = (6, 11)
_GROUND = 60  # grey levels of the noise
_INK = 0.5  # the share of a pixel's coverage from which on it belongs to the digit
_VISIBLE = 0.75  # the share of its ink that every digit keeps
_TRIES = 20  # places for a digit before it is left out


@dataclass(frozen=True)
class Canvas:
    """One canvas, and all that is to be found on it.

    Attributes:
        pixels: (64, 64) uint8.
        owner: (64, 64) int64: 0 for the ground, k + 1 for the ink of digit k where no later digit covers it.
        labels: (n,) int64, the digits 0 to 9, from the lowest to the topmost.
    """

    pixels: Array
    owner: Array
    labels: Array

    @property
    def classes(self) -> Array:
        """(64, 64) int64: the class of every pixel, `BACKGROUND` or that of the topmost digit."""
        return np.concatenate([[BACKGROUND], self.labels + 1])[self.owner]

    @property
    def boxes(self) -> Array:
        """(n, 4) float32: left, top, right, bottom of what is visible of every digit; right and bottom are outside."""
        found = np.empty((len(self.labels), 4), dtype=np.float32)
        for number in range(len(self.labels)):
            rows, columns = np.nonzero(self.owner == number + 1)
            found[number] = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        return found


def compose(glyphs: Array, labels: Array, *seed: int) -> Canvas:
    """Return the canvas of a seed; the same numbers give the same pixels everywhere.

    Args:
        glyphs: (N, 8, 8) uint8.
        labels: (N,) the digit of each.
        *seed: numbers of at least 0.
    """
    random = np.random.default_rng(seed)
    ground = random.uniform(0, _GROUND, (SIZE, SIZE))
    for _ in range(random.integers(*_FRAGMENTS)):
        corner = random.integers(0, 2, 2) * digits.SIZE // 2
        glyph = glyphs[random.integers(len(glyphs))]
        piece = glyph[corner[0] : corner[0] + digits.SIZE // 2, corner[1] : corner[1] + digits.SIZE // 2]
        cover = _sized(piece, int(random.integers(*_FRAGMENT_SIZE)))
        _paint(ground, cover, _place(random, len(cover)), random.uniform(150, 255))
    owner = np.zeros((SIZE, SIZE), dtype=np.int64)
    chosen: list[int] = []
    ink: list[int] = []
    for _ in range(random.integers(_DIGITS[0], _DIGITS[1] + 1)):
        number = int(random.integers(len(glyphs)))
        cover = _sized(glyphs[number], int(random.integers(*_DIGIT_SIZE)))
        grey = random.uniform(150, 255)
        for place in (_place(random, len(cover)) for _ in range(_TRIES)):
            trial = owner.copy()
            trial[place][cover >= _INK] = len(chosen) + 1
            left = np.bincount(trial.ravel(), minlength=len(chosen) + 2)[1:-1]
            if np.all(left >= _VISIBLE * np.array(ink)):
                _paint(ground, cover, place, grey)
                owner = trial
                chosen.append(number)
                ink.append(int((cover >= _INK).sum()))
                break
    return Canvas(pixels=np.rint(ground).astype(np.uint8), owner=owner, labels=labels[chosen].astype(np.int64))


@dataclass(frozen=True, kw_only=True)
class DenseBatch:
    """Canvases with what is to be found on them, in the forms that segmentation and detection take.

    Attributes:
        images: (N, 1, H, W) float32.
        labels: (N, H, W) int64, the class of every pixel.
        targets: for each image `"boxes"`, (n, 4) float32, and `"labels"`, (n,) int64 classes, as torchvision takes.
        bad: always empty.
    """

    images: Tensor
    labels: Tensor
    targets: tuple[dict[str, Tensor], ...]
    bad: tuple[BadImage, ...] = ()

    def to(self, device: torch.device | str, non_blocking: bool = False) -> DenseBatch:
        """Return the batch with its tensors on `device`."""
        return DenseBatch(
            images=self.images.to(device, non_blocking=non_blocking),
            labels=self.labels.to(device, non_blocking=non_blocking),
            targets=tuple(
                {name: value.to(device, non_blocking=non_blocking) for name, value in target.items()}
                for target in self.targets
            ),
        )


class Canvases(Dataset[Canvas]):
    """Canvases, each a function of the seed and its index alone.

    A `Draw` of another epoch is another canvas: an epoch composes its glyphs anew.

    Args:
        seed: at least 0.
        count: canvases in an epoch.
        held_out: of the glyphs that are not trained on.

    Raises:
        ResnexusError: scikit-learn, which carries the digits, is not installed.
    """

    classes = CLASSES

    def __init__(self, seed: int, count: int, *, held_out: bool) -> None:
        self.seed, self.count, self.held_out = seed, count, held_out
        pixels, labels = digits.load_digits()
        chosen = split(labels)[1 if held_out else 0]
        self.glyphs, self.labels = pixels[chosen, ..., 0], labels[chosen]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int | Draw) -> Canvas:
        draw = drawn(index)
        if not 0 <= draw.image < self.count:
            raise IndexError(f"canvas {draw.image} of {self.count}")
        number = draw.epoch * self.count + draw.image
        return compose(self.glyphs, self.labels, self.seed, int(self.held_out), number, draw.repeat)

    def bad_images(self) -> tuple[BadImage, ...]:
        """Return nothing: a canvas can always be read."""
        return ()


def collate_canvases(canvases: Sequence[Canvas]) -> DenseBatch:
    """Make a batch: grey levels normalised, classes and boxes as they are."""
    pixels = torch.from_numpy(np.stack([canvas.pixels for canvas in canvases]))[:, None]
    return DenseBatch(
        images=(pixels / 255 - MEAN) / STD,
        labels=torch.from_numpy(np.stack([canvas.classes for canvas in canvases])),
        targets=tuple(
            {"boxes": torch.from_numpy(canvas.boxes), "labels": torch.from_numpy(canvas.labels + 1)}
            for canvas in canvases
        ),
    )


def _sized(glyph: Array, size: int) -> Array:
    """Return a glyph at another size as coverage, (size, size) of 0 to 1."""
    return np.asarray(Image.fromarray(glyph).resize((size, size), Image.Resampling.BILINEAR)) / 255


def _place(random: np.random.Generator, size: int) -> tuple[slice, slice]:
    top, left = random.integers(0, SIZE - size + 1, 2)
    return slice(top, top + size), slice(left, left + size)


def _paint(ground: Array, cover: Array, place: tuple[slice, slice], grey: float) -> None:
    ground[place] += cover * (grey - ground[place])
