"""The Lightning module of dense prediction: the network itself knows its loss."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from resnexus.training.module import Classifier


class DenseLearner(Classifier):
    """Trains a `DenseNetwork` on canvases or photographs by a recipe; targets are neither smoothed nor mixed."""

    def loss(self, batch: Any, draws: Any) -> Tensor:
        """Return the network's own loss of a `DenseBatch`."""
        return self.network.loss(replace(batch, images=self.laid_out(batch.images)))  # type: ignore[operator]
