"""The Lightning module that trains a classifier by a recipe."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, ClassVar

import lightning
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from resnexus.data.batches import Batch
from resnexus.errors import ResnexusError, printable
from resnexus.files import write_bytes
from resnexus.training.averaging import MovingAverage
from resnexus.training.loader import TrainingLoader
from resnexus.training.losses import distilled_loss, loss_of, soft_targets
from resnexus.training.mixing import mixed
from resnexus.training.optimizers import classifier_part, freeze, optimizer
from resnexus.training.recipe import Recipe
from resnexus.training.schedules import rate_factor
from resnexus.training.teacher import Teacher

_MIXING, _DROPPING = 1, 2  # what tells the draws of one step from each other


class Classifier(lightning.LightningModule):
    """A network, its loss and its optimiser.

    Everything random in a step follows from the seed, the number of the batch and the process, so that a training that
    was interrupted goes on with the draws that would have come.

    Args:
        network: (N, C, H, W) -> (N, classes) logits.
        num_classes: of the logits.
        recipe: of the training.
        loader: of the batches; a training that goes on tells it where.
        teacher: whose answers are learned, if the recipe says so; None for none.
        allow_bad_images: train past images that cannot be read.
        out: folder in which a batch whose loss is not finite is kept; None to keep none.

    Attributes:
        answered: whether the batches bring a teacher's answers along, so that no teacher is asked.
        batches: trained on so far.
        average: of the weights, if the recipe has one.
    """

    answered: ClassVar[bool] = False

    def __init__(
        self,
        network: nn.Module,
        num_classes: int,
        recipe: Recipe,
        loader: TrainingLoader,
        *,
        teacher: Teacher | None = None,
        allow_bad_images: bool = False,
        out: Path | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.num_classes, self.recipe, self.loader = num_classes, recipe, loader
        self.teacher, self.allow_bad_images, self.out = teacher, allow_bad_images, out
        self.batches = 0
        decay = recipe.step.ema_decay
        self.average = MovingAverage(network, decay) if decay else None
        # Not a part of this module's own state: compiled or not, the weights are the network's.
        self._run = [torch.compile(network) if recipe.step.compile else network]

    def on_fit_start(self) -> None:
        """Have the teacher where the images will be."""
        if self.teacher is not None:
            self.teacher.to(self.device)

    def on_train_start(self) -> None:
        """Keep the frozen part of the network as it is; an epoch that goes on in its middle has no start."""
        freeze(self.network, self.recipe.optim.freeze_stages)

    def on_train_epoch_start(self) -> None:
        """Keep the frozen part of the network as it is, after an evaluation that left all in training mode."""
        freeze(self.network, self.recipe.optim.freeze_stages)

    def training_step(self, batch: Batch, _index: int) -> Tensor | None:
        """Return the loss of one batch; None, which skips it, if fewer than two of its images can be read.

        Raises:
            ResnexusError: an image cannot be read and that is not allowed, a batch is to be skipped in one of several
                processes, or the loss is not finite.
        """
        number, recipe = self.batches, self.recipe
        self.batches += 1
        if batch.bad and not self.allow_bad_images:
            raise ResnexusError(f"training image {batch.bad[0]}. Repair or remove it, or allow bad images to skip them")
        if len(batch.images) < 2:
            self._check_skipping(batch, number)
            return None
        draws = np.random.default_rng((recipe.seed, number, self.global_rank, _MIXING))
        torch.manual_seed(_seed(recipe.seed, number, self.global_rank))
        loss = self.loss(batch, draws)
        self._check(loss, batch, number)
        return loss

    def loss(self, batch: Batch, draws: np.random.Generator) -> Tensor:
        """Return the loss of one batch; all that is random follows from `draws` and PyTorch's seed."""
        targets = soft_targets(batch.labels, self.num_classes)
        images, targets = mixed(batch.images, targets, self.recipe.target, draws)
        images = self.laid_out(images)
        logits = self._run[0](images)
        if self.teacher is None:
            return loss_of(logits, targets, self.recipe.target)
        return distilled_loss(logits, targets, self.teacher(images), self.recipe.target, self.recipe.distil)

    def laid_out(self, images: Tensor) -> Tensor:
        """Return images in the memory format of the recipe."""
        return images.contiguous(memory_format=torch.channels_last) if self.recipe.step.channels_last else images

    def optimizer_step(self, *arguments: Any, **options: Any) -> None:
        """Let the average follow the weights after every step, before anything is kept."""
        super().optimizer_step(*arguments, **options)
        if self.average is not None:
            self.average.update(self.network)

    @staticmethod
    def part_of(name: str) -> int | None:
        """Return the part of the network that a parameter belongs to, which may have a rate of its own."""
        return classifier_part(name)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return the recipe's optimiser, and its schedule over all steps."""
        steps = -(-len(self.loader) // self.recipe.step.accumulate)
        factor = rate_factor(self.recipe.rate, self.recipe.epochs, steps)
        chosen = optimizer(self.network, self.recipe, self.part_of)
        schedule = torch.optim.lr_scheduler.LambdaLR(chosen, factor)
        return {"optimizer": chosen, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what is not in the state of the module."""
        checkpoint["batches"] = self.batches
        if self.average is not None:
            checkpoint["average"] = self.average.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on from what was kept."""
        # At the end of an epoch Lightning keeps no state of the loader.
        self.batches = self.loader.delivered = checkpoint["batches"]
        if self.average is not None:
            self.average.load_state_dict(checkpoint["average"])

    def _check_skipping(self, batch: Batch, number: int) -> None:
        """Refuse to skip a batch in one of several processes: the others would wait for its gradients for ever."""
        processes = self.loader.order.processes
        if processes > 1:
            epoch, place = divmod(number, len(self.loader))
            bad = f": {batch.bad[0]}" if batch.bad else ""
            raise ResnexusError(
                f"process {self.global_rank + 1} of {processes} has fewer than two images in epoch {epoch + 1}, batch "
                f"{place + 1}, and cannot skip a batch that the others train on{bad}. Remove the images that cannot be "
                "read, or train with a larger global_batch_size, or in one process"
            )

    def _check(self, loss: Tensor, batch: Batch, number: int) -> None:
        if torch.isfinite(loss):
            return
        path = None if self.out is None else self.out / f"batch{number:09d}-not-finite.pt"
        kept = "" if path is None else f"; {_kept(batch, path)}"
        epoch, place = divmod(number, len(self.loader))
        raise ResnexusError(
            f"the loss became {loss.detach().item()} in epoch {epoch + 1}, batch {place + 1}: lower the learning rate"
            f"{kept}"
        )


def _kept(batch: Batch, path: Path) -> str:
    """Write a batch, and return where it is or why it is not."""
    archive = io.BytesIO()  # PyTorch's own writer of files ends the process where the disk is full
    torch.save({"images": batch.images.cpu(), "labels": batch.labels.cpu()}, archive)
    try:
        write_bytes(archive.getvalue(), path)
    except ResnexusError as error:
        return f"the batch is not kept: {error}"
    return f"the batch is kept in {printable(path)}"


def _seed(*numbers: int) -> int:
    """Return one seed for several numbers, for generators that take no more."""
    return int(np.random.default_rng((*numbers, _DROPPING)).integers(2**63))
