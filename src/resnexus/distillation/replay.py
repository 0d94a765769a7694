"""The views of a pool that a teacher has answered for, shown again: each with the answer that was kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from resnexus.data.batches import BadImage, Batch, collate
from resnexus.data.order import Draw, drawn
from resnexus.distillation.cache import Cache, dense
from resnexus.distillation.filed import SomePictures
from resnexus.distillation.unlabelled import PoolImages
from resnexus.distillation.views import redrawn
from resnexus.errors import ResnexusError

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Answered:
    """A view of a picture, and what a teacher said of it.

    Attributes:
        image: (C, H, W) float32.
        label: of the picture; `UNLABELLED` if it has none.
        answer: (classes,) float32, probabilities.
    """

    image: Tensor
    label: int
    answer: Tensor


class ReplayedImages(PoolImages):
    """Pictures of a cache, in the views that its teacher saw; an item is an `Answered` or a `BadImage`.

    Epoch e, or repeat r of it, shows view e + r, from the first again after the last. A view is drawn from its own
    seed, so that the pixels are those that the teacher saw. Picture and answer are read from the cache when they are
    asked for: what is held of each is its number and its label.

    Args:
        cache: views and answers.
        numbers: of pictures of the cache, which of them.
        classes: that the teacher tells apart.
        labels: as for `PoolImages`.
    """

    def __init__(
        self,
        cache: Cache,
        numbers: Sequence[int] | Array,
        classes: tuple[str, ...],
        labels: Mapping[str, int] | None = None,
    ) -> None:
        record, self.cache = cache.record, cache
        self.numbers = np.asarray(numbers, np.int64)
        super().__init__(
            SomePictures(cache.pictures, self.numbers), classes, labels,
            preprocess=record.preprocess, augment=record.augment, seed=record.seed,
        )  # fmt: skip

    def __getitem__(self, index: int | Draw) -> Any:
        draw = drawn(index)
        label = int(self.labels[draw.image])  # an IndexError ends an iteration
        record, picture = self.cache.record, self.pictures[draw.image]
        said = self.cache.soft_labels(picture.id, (draw.epoch + draw.repeat) % record.views)
        try:
            image = redrawn(picture, said.seed, record)
        except ResnexusError as error:
            self._bad[draw.image] = True
            return BadImage(picture.uri, str(error))
        return Answered(image, label, torch.from_numpy(dense(said, record.num_classes)))

    def identity(self, index: int) -> str:
        """Return the pool, of which the cache's record has the digest, and the picture's number in it."""
        return f"{self.cache.record.pool}\0{self.numbers[index]}\0"


@dataclass(frozen=True, kw_only=True)
class AnsweredBatch(Batch):
    """A batch with what a teacher said of its images.

    Attributes:
        answers: (N, classes) float32, probabilities.
    """

    answers: Tensor

    def to(self, device: torch.device | str, non_blocking: bool = False) -> AnsweredBatch:
        """Return the batch with its tensors on `device`."""
        there = {name: getattr(self, name).to(device, non_blocking=non_blocking) for name in _TENSORS}
        return replace(self, **there)

    def pin_memory(self) -> AnsweredBatch:
        """Return the batch in page-locked memory."""
        return replace(self, **{name: getattr(self, name).pin_memory() for name in _TENSORS})


_TENSORS = ("images", "labels", "answers")


def collate_answered(items: Sequence[Answered | BadImage]) -> AnsweredBatch:
    """Make a batch of a DataLoader's items; pass it as `collate_fn`."""
    plain = collate([item if isinstance(item, BadImage) else (item.image, item.label) for item in items])
    answers = [item.answer for item in items if isinstance(item, Answered)]
    return AnsweredBatch(
        images=plain.images,
        labels=plain.labels,
        bad=plain.bad,
        answers=torch.stack(answers) if answers else torch.empty(0, 0),
    )
