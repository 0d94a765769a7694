"""The Lightning module that learns answers that were kept: it needs no teacher."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from resnexus.training.losses import distilled_loss, soft_targets
from resnexus.training.mixing import mixed
from resnexus.training.module import Classifier


class Replaying(Classifier):
    """Trains a network on an `AnsweredBatch` by a recipe with a teacher.

    Where images are mixed, so are labels and answers, in the same parts: the teacher was not asked about the mixture.
    The logarithm of its probabilities stands for its logits, from which it differs by a constant of each image.
    """

    answered: ClassVar[bool] = True

    def loss(self, batch: Any, draws: Any) -> Tensor:
        """Return the loss of one `AnsweredBatch`."""
        recipe, classes = self.recipe, self.num_classes
        known = torch.cat([soft_targets(batch.labels, classes), batch.answers], dim=1)
        images, known = mixed(batch.images, known, recipe.target, draws)
        targets, answers = known[:, :classes], known[:, classes:]
        logits = self._run[0](self.laid_out(images))
        least = torch.finfo(answers.dtype).tiny  # a class that was given no probability has no logarithm
        return distilled_loss(logits, targets, answers.clamp(min=least).log(), recipe.target, recipe.distil)
