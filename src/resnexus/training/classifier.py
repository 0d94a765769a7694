"""The Lightning module that trains a classifier."""

from __future__ import annotations

import lightning
import numpy as np
import torch
from torch import Tensor, nn

from resnexus.data.batches import Batch
from resnexus.errors import ResnexusError
from resnexus.training.losses import mixup, soft_cross_entropy, soft_targets
from resnexus.training.settings import Settings


class Classifier(lightning.LightningModule):
    """A network, its loss and its optimiser.

    Args:
        network: (N, C, H, W) -> (N, classes) logits.
        num_classes: of the logits.
        settings: of the run.
        seed: of mixup.
    """

    def __init__(self, network: nn.Module, num_classes: int, settings: Settings, seed: int = 0) -> None:
        super().__init__()
        self.network = network
        self.num_classes = num_classes
        self.settings = settings
        self.random = np.random.default_rng(seed)

    def training_step(self, batch: Batch, _index: int) -> Tensor | None:
        """Return the loss of one batch; None, which skips the step, if fewer than two of its images can be read."""
        if batch.bad and not self.settings.allow_bad_images:
            raise ResnexusError(f"training image {batch.bad[0]}. Repair or remove it, or allow bad images to skip them")
        if len(batch.images) < 2:
            return None
        targets = soft_targets(batch.labels, self.num_classes)
        images, targets = mixup(batch.images, targets, self.settings.mixup, self.random)
        images = images.contiguous(memory_format=torch.channels_last)
        return soft_cross_entropy(self.network(images), targets, self.settings.label_smoothing)

    def configure_optimizers(self) -> lightning.pytorch.utilities.types.OptimizerLRSchedulerConfig:
        """Return SGD with coupled L2 on every parameter, and a cosine over all steps."""
        settings = self.settings
        optimizer = torch.optim.SGD(
            self.network.parameters(),
            lr=settings.initial_learning_rate,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
        )
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
