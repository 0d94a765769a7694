"""What the same view is worth: the student sees one crop of a picture, and its teacher another one of it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from resnexus.data.batches import BadImage, Item
from resnexus.data.order import Draw, drawn
from resnexus.distillation.unlabelled import JoinedImages
from resnexus.training.losses import distilled_loss, soft_targets
from resnexus.training.mixing import mixed
from resnexus.training.module import Classifier

_OTHER = 1 << 20
"""Added to the repeat of a draw for the teacher's view: more repeats than any recipe has."""


class TwoViews(JoinedImages):
    """Data sets as one, of which an image is two crops of a picture: (2 C, H, W).

    The first is the student's, the one that `JoinedImages` shows; the second is the teacher's, drawn apart from it.
    """

    def __getitem__(self, index: int | Draw) -> Item:
        draw = drawn(index)
        seen = super().__getitem__(draw)
        asked = super().__getitem__(draw._replace(repeat=draw.repeat + _OTHER))
        if isinstance(seen, BadImage):
            return seen
        return asked if isinstance(asked, BadImage) else (torch.cat([seen[0], asked[0]]), seen[1])


class OtherView(Classifier):
    """Trains a network on batches of `TwoViews`.

    The crops differ, the mixtures do not: student and teacher see pictures mixed in the same parts, as `Classifier`
    draws them.
    """

    def loss(self, batch: Any, draws: Any) -> Tensor:
        """Return the loss of one batch, images of which are (N, 2 C, H, W)."""
        if self.teacher is None:
            raise TypeError("there is a teacher, or its view is no other one")
        recipe, targets = self.recipe, soft_targets(batch.labels, self.num_classes)
        both, targets = mixed(batch.images, targets, recipe.target, draws)
        seen, asked = both.chunk(2, dim=1)
        logits = self._run[0](self.laid_out(seen))
        return distilled_loss(logits, targets, self.teacher(self.laid_out(asked)), recipe.target, recipe.distil)
