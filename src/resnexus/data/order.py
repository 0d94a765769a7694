"""The order of the training images, as a pure function of seed and epoch, for any number of processes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from torch.utils.data import Sampler

from resnexus.errors import ResnexusError

Array = np.ndarray[Any, np.dtype[Any]]


class Draw(NamedTuple):
    """One appearance of an image in the training; all randomness of its augmentation follows from this and the seed.

    Attributes:
        epoch: counted from 0.
        image: its number in the data set.
        repeat: counted from 0 where an image appears several times in an epoch.
    """

    epoch: int
    image: int
    repeat: int = 0


def drawn(index: int | Draw) -> Draw:
    """Return an index of a data set as a draw."""
    return index if isinstance(index, Draw) else Draw(0, int(index))


@dataclass(frozen=True, kw_only=True)
class EpochOrder:
    """How a data set is cut into global batches.

    Every image appears once in an epoch, or with `repeats` a part of them that often. The last batch of an epoch may
    be smaller. Processes share a batch evenly; where it does not divide, images from the beginning of the epoch's order
    fill it up, so that no process waits for another.

    Attributes:
        images: in the data set.
        batch_size: images per global batch.
        seed: of the order.
        repeats: how often an image appears in an epoch that shows it.
        processes: how many share a batch.

    Raises:
        ResnexusError: counts that are not positive, or a batch that cannot give every process two images.
    """

    images: int
    batch_size: int
    seed: int = 0
    repeats: int = 1
    processes: int = 1

    def __post_init__(self) -> None:
        for name in ("images", "batch_size", "repeats", "processes"):
            if getattr(self, name) < 1:
                raise ResnexusError(f"{name}={getattr(self, name)}: expected at least 1")
        if self.batch_size % self.processes or self.batch_size < 2 * self.processes:
            raise ResnexusError(
                f"a batch of {self.batch_size} for {self.processes} processes: expected a multiple, and two images "
                "for each at least, because one cannot be normalised"
            )
        if self.images < 2:
            raise ResnexusError("one image to train on: a normalisation needs at least two")

    @property
    def batches(self) -> int:
        """Batches in an epoch; a rest that would leave some process a single image is left out of the epoch."""
        whole, rest = divmod(self.images, self.batch_size)
        return max(1, whole + (rest >= 2 * self.processes))

    def images_before(self, number: int) -> int:
        """Return how many images the training has shown before a batch, those that fill a batch up not counted.

        Args:
            number: of the batch since the beginning of the training, counted from 0.
        """
        epoch, place = divmod(number, self.batches)
        return epoch * min(self.images, self.batches * self.batch_size) + place * self.batch_size

    def epoch(self, epoch: int) -> list[Draw]:
        """Return the whole order of one epoch."""
        repeats, order = self.repeats, _permutation(self.seed, epoch, self.images)
        return [Draw(epoch, int(order[place // repeats]), place % repeats) for place in range(self.images)]

    def batch(self, number: int, process: int = 0) -> list[Draw]:
        """Return one process's part of a batch.

        Args:
            number: of the batch since the beginning of the training, counted from 0.
            process: its rank.
        """
        epoch, place = divmod(number, self.batches)
        start = place * self.batch_size
        stop = min(start + self.batch_size, self.images)
        share = -(-(stop - start) // self.processes)
        order, repeats = _permutation(self.seed, epoch, self.images), self.repeats
        places = range(start + process * share, start + (process + 1) * share)
        filled = [place if place < stop else place - stop for place in places]
        return [Draw(epoch, int(order[place // repeats]), place % repeats) for place in filled]


class BatchOrder(Sampler[list[Draw]]):
    """The batches of one process from some batch of the training to the end of its epoch; a DataLoader's batch sampler.

    Args:
        order: of the global batches.
        process: rank of this process.
        start: number of the first batch since the beginning of the training.
    """

    def __init__(self, order: EpochOrder, process: int = 0, start: int = 0) -> None:
        self.order, self.process, self.start = order, process, start

    def __iter__(self) -> Iterator[list[Draw]]:
        end = (self.start // self.order.batches + 1) * self.order.batches
        for number in range(self.start, end):
            yield self.order.batch(number, self.process)

    def __len__(self) -> int:
        return self.order.batches - self.start % self.order.batches


@lru_cache(maxsize=2)
def _permutation(seed: int, epoch: int, count: int) -> Array:
    return np.random.default_rng((seed, epoch)).permutation(count)
