"""What happens beside the training steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning
import torch

from resnexus.data.datasets import LabelledImages
from resnexus.errors import ResnexusError


class Epochs(lightning.Callback):
    """Tells the data set which epoch begins, for its augmentation, and `on_epoch` that one has ended."""

    def __init__(self, dataset: LabelledImages, on_epoch: Callable[[], object] | None) -> None:
        self._dataset, self._on_epoch = dataset, on_epoch

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Announce the epoch."""
        self._dataset.set_epoch(trainer.current_epoch)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Report the epoch."""
        if self._on_epoch is not None:
            self._on_epoch()


class StopAtNonFiniteLoss(lightning.Callback):
    """Ends training with an error when the loss is infinite or not a number."""

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Check the loss of the step that has just ended."""
        loss = outputs["loss"] if isinstance(outputs, dict) else outputs
        if loss is not None and not torch.isfinite(loss):
            raise ResnexusError(
                f"the loss became {float(loss)} in epoch {trainer.current_epoch + 1}, step {batch_idx + 1}: "
                "lower the learning rate"
            )
