"""The teacher of a training: a trained network that is asked about every batch, and never changed."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from resnexus.architectures.blocks import BatchNorm
from resnexus.errors import ResnexusError
from resnexus.training.recipe import Recipe
from resnexus.training.synchronised import synchronise_batch_norm


class Teacher:
    """Answers for the images that the trained network sees, crops and mixtures and all.

    It is no module, so that it is no part of the one that is trained: optimiser, moving average and checkpoints do not
    know it, and no gradient goes through it. Whatever draws at random is off. With the statistics of the batch its
    normalisations go by the images before them, as SSLD's teacher does, and the running ones stay as they are.

    Args:
        network: (N, C, H, W) -> (N, classes) logits; set up here, in place.
        recipe: of the training.
    """

    def __init__(self, network: nn.Module, recipe: Recipe) -> None:
        self.network = network.eval().requires_grad_(False)
        if recipe.step.channels_last:
            network.to(memory_format=torch.channels_last)
        if recipe.distil.teacher_statistics == "batch":
            if recipe.step.sync_batch_norm:
                synchronise_batch_norm(network)
            _go_by_batches(network)
        self._run = torch.compile(network) if recipe.step.compile else network

    def to(self, device: torch.device) -> None:
        """Move it to where the images are."""
        self.network.to(device)

    def __call__(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, classes) logits, constants for the gradient."""
        with torch.no_grad():
            answers: Tensor = self._run(images)
        return answers


def check_teacher(recipe: Recipe, *, given: bool) -> None:
    """Check that there is a teacher exactly if the recipe learns from one.

    Raises:
        ResnexusError: one is missing, or has no effect.
    """
    wanted = recipe.distil.distillation
    if wanted == "none" and given:
        raise ResnexusError(
            "a teacher has no effect on this recipe, whose distillation is 'none': leave it out, or learn from it with "
            "distillation=kl"
        )
    if wanted != "none" and not given:
        raise ResnexusError(
            f"this recipe learns from a teacher (distillation={wanted!r}): name a trained network with teacher= "
            "(--teacher), or set distillation=none to train on labels alone"
        )


def _go_by_batches(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.train()
            if isinstance(module, BatchNorm):
                module.records_statistics = False
            else:
                module.track_running_stats = False
