"""The Lightning module of dense prediction: the network itself knows its loss."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from resnexus.training.module import Classifier

_BACKBONE = "backbone.body."


class DenseLearner(Classifier):
    """Trains a `DenseNetwork` on canvases or photographs by a recipe; targets are neither smoothed nor mixed."""

    @staticmethod
    def part_of(name: str) -> int | None:
        """Return the stage of the backbone that a parameter belongs to; None for pyramid and heads."""
        _, body, inner = name.partition(_BACKBONE)
        if not body:
            return None
        child = inner.partition(".")[0]
        return 0 if child == "stem" else int(child.removeprefix("stage"))

    def loss(self, batch: Any, draws: Any) -> Tensor:
        """Return the network's own loss of a `DenseBatch`."""
        return self.network.loss(replace(batch, images=self.laid_out(batch.images)))  # type: ignore[operator]
