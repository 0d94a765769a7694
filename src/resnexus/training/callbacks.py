"""What happens beside the training steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning
import torch

from resnexus.errors import ResnexusError


class EpochCallback(lightning.Callback):
    """Calls a function after every epoch."""

    def __init__(self, on_epoch: Callable[[], object] | None) -> None:
        self._on_epoch = on_epoch

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
