"""The views of a picture: the plain one, and those drawn at random from counters, which anybody can draw again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from resnexus.data.augment import Augment
from resnexus.data.error_codes import ErrorCode
from resnexus.distillation.cache import CacheRecord
from resnexus.distillation.pictures import Picture
from resnexus.errors import ResnexusError, printable
from resnexus.prediction.decoding import Decoding
from resnexus.prediction.inputs import Wanted

Array = np.ndarray[Any, np.dtype[Any]]

PLAIN = None
"""The seed of the plain view."""


def view_seed(seed: int, picture: int, view: int) -> int:
    """Return what a random view is drawn from: 63 bits that follow from three counters, by NumPy's `SeedSequence`.

    Args:
        seed: of the whole cache.
        picture: its number.
        view: its number, from 0.
    """
    (state,) = np.random.SeedSequence((seed, picture, view)).generate_state(1, np.uint64)
    return int(state >> np.uint64(1))


@dataclass(frozen=True)
class Viewed:
    """A picture and the views of it that are wanted.

    Attributes:
        source: where it lies.
        seeds: of the views; `PLAIN` for the plain one.
    """

    source: Wanted
    seeds: tuple[int | None, ...]


@dataclass(frozen=True, kw_only=True)
class Viewing(Decoding):
    """How a `Viewed` becomes the pixels of its views: (views, size, size, C) uint8, not normalised.

    Attributes:
        augment: how random views are drawn.
    """

    augment: Augment

    def made(self, source: Viewed) -> Array:
        """Return the views, in the order of their seeds."""
        pixels = self.pixels(source.source)
        return np.stack([self._view(pixels, seed) for seed in source.seeds])

    def _view(self, pixels: Array, seed: int | None) -> Array:
        if seed is PLAIN:
            return self.preprocess.frame(pixels)
        return self.augment.view(pixels, self.preprocess, np.random.default_rng(seed))


def redrawn(picture: Picture, seed: int | None, record: CacheRecord) -> Tensor:
    """Return a view of a picture as the teacher saw it, bit for bit.

    Args:
        picture: of the cache.
        seed: of the view, as the cache holds it; `PLAIN` for the plain one.
        record: of the cache.

    Returns:
        (C, size, size) float32, normalised by the cache's preprocessing.

    Raises:
        ResnexusError: the picture cannot be read any more.
    """
    viewing = Viewing(preprocess=record.preprocess, augment=record.augment, fetching=record.fetching)
    frames = viewing(Viewed(picture.source, (seed,)))
    if isinstance(frames, ErrorCode):
        raise ResnexusError(f"picture {picture.id}, {printable(picture.uri)}: {frames.meaning}")
    return record.preprocess.normalise(frames[0])


def check_redrawable(augment: Augment) -> None:
    """See that views can be kept as pixels of the plain view's size.

    Raises:
        ResnexusError: the augmentation has a size of its own, or erases after the normalisation.
    """
    if augment.size is not None:
        raise ResnexusError(f"size={augment.size} of the augmentation: give image_size, which is that of all views")
    if augment.erasing:
        raise ResnexusError(f"erasing={augment.erasing}: a teacher is asked about whole views; leave it out")
