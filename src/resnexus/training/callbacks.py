"""What happens beside the training steps."""

from __future__ import annotations

from typing import Any

import lightning
import torch

from resnexus.data.datasets import LabelledImages
from resnexus.errors import ResnexusError
from resnexus.progress import Advance


class Epochs(lightning.Callback):
    """Tells the data set which epoch begins, for its augmentation."""

    def __init__(self, dataset: LabelledImages) -> None:
        self._dataset = dataset

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Announce the epoch."""
        self._dataset.set_epoch(trainer.current_epoch)


class Steps(lightning.Callback):
    """Counts the steps that are done, and ends training with an error when a loss is infinite or not a number."""

    def __init__(self, advance: Advance) -> None:
        self._advance = advance

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Check the loss of the step that has just ended, and count the step."""
        loss = outputs["loss"] if isinstance(outputs, dict) else outputs
        if loss is not None and not torch.isfinite(loss):
            raise ResnexusError(
                f"the loss became {float(loss)} in epoch {trainer.current_epoch + 1}, step {batch_idx + 1}: "
                "lower the learning rate"
            )
        self._advance()
