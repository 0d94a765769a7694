"""What data sets give, and batches of it.

A file that cannot be decoded is an item too, a `BadImage`: evaluation counts and names it and goes on, training says
whether it may.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from resnexus.errors import printable


@dataclass(frozen=True)
class BadImage:
    """A file that could not be decoded, and why; as text it can be printed and written, whatever the file is called.

    Attributes:
        path: as the system has it.
        reason: what is wrong with it.
    """

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{printable(self.path)}: {self.reason}"


Item: TypeAlias = tuple[Tensor, int] | BadImage


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Images of one size with their labels, and the files of the batch that could not be decoded.

    Attributes:
        images: (N, C, H, W) float32; N is 0, and so are C, H and W, if no file could be decoded.
        labels: (N,) int64.
        bad: the files left out.
    """

    images: Tensor
    labels: Tensor
    bad: tuple[BadImage, ...] = ()

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """Return the batch with its tensors on `device`."""
        images = self.images.to(device, non_blocking=non_blocking)
        return Batch(images=images, labels=self.labels.to(device, non_blocking=non_blocking), bad=self.bad)

    def pin_memory(self) -> Batch:
        """Return the batch in page-locked memory; a DataLoader with `pin_memory=True` calls this."""
        return Batch(images=self.images.pin_memory(), labels=self.labels.pin_memory(), bad=self.bad)


def collate(items: Sequence[Item]) -> Batch:
    """Make a batch of a DataLoader's items; pass it as `collate_fn`."""
    good = [item for item in items if not isinstance(item, BadImage)]
    return Batch(
        images=torch.stack([image for image, _ in good]) if good else torch.empty(0, 0, 0, 0),
        labels=torch.tensor([label for _, label in good], dtype=torch.int64),
        bad=tuple(item for item in items if isinstance(item, BadImage)),
    )
