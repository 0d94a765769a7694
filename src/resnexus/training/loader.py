"""The batches of a training, from any place in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch.utils.data import DataLoader, Dataset

from resnexus.data.order import BatchOrder, EpochOrder


class TrainingLoader:
    """Yields the batches of one epoch after another; where it stands is one number.

    It keeps count of what it delivered, and begins an epoch in its middle if that is where it stands, so that a
    training goes on with the very batch that would have come.

    Args:
        dataset: takes a `Draw` for an index.
        order: of the global batches.
        process: rank of this process.
        collate: makes a batch of items.
        workers: processes that read images; 0 reads in this one.
        pin: keep batches in page-locked memory.

    Attributes:
        delivered: batches since the beginning of the training.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        order: EpochOrder,
        *,
        process: int = 0,
        collate: Callable[[Any], Any],
        workers: int = 0,
        pin: bool = False,
    ) -> None:
        self.dataset, self.order, self.process = dataset, order, process
        self.collate, self.workers, self.pin = collate, workers, pin
        self.delivered = 0

    def __len__(self) -> int:
        """Batches in an epoch."""
        return self.order.batches

    def __iter__(self) -> Iterator[Any]:
        """Yield what is left of the epoch that it stands in."""
        loader = DataLoader(
            self.dataset,
            batch_sampler=BatchOrder(self.order, self.process, self.delivered),
            collate_fn=self.collate,
            num_workers=self.workers,
            pin_memory=self.pin,
            # Workers are made anew every epoch: those that live on would keep an order of their own.
        )
        for batch in loader:
            self.delivered += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Return where it stands: that it can makes Lightning go on within an epoch."""
        return {"delivered": self.delivered}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Stand where another one stood."""
        self.delivered = state["delivered"]
