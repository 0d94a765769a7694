"""What can be chosen of the trainings of a segmenter or a detector."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from resnexus.benchmark.ranges import not_negative, whole
from resnexus.errors import ResnexusError
from resnexus.training.recipe import Recipe

_WARMUP_EPOCHS = 0.25
_CLIP_NORM = 5.0


@dataclass(frozen=True, kw_only=True)
class DenseSettings:
    """AdamW with a short warm-up and a cosine to 0 per step, the same for every network.

    Attributes:
        epochs: each composes its canvases anew.
        learning_rate: at its highest.
        train_canvases: in an epoch.
        val_canvases: to evaluate on, of glyphs that are not trained on; the same for every seed.
        batch_size: canvases per step.
        weight_decay: decoupled, of every parameter.

    Raises:
        ResnexusError: a value outside its range; names it and the range.
    """

    epochs: int
    learning_rate: float
    train_canvases: int = 512
    val_canvases: int = 200
    batch_size: int = 8
    weight_decay: float = 0.02

    def __post_init__(self) -> None:
        whole(epochs=self.epochs, train_canvases=self.train_canvases, val_canvases=self.val_canvases)
        not_negative(learning_rate=self.learning_rate, weight_decay=self.weight_decay)
        if not 2 <= self.batch_size <= self.train_canvases:
            raise ResnexusError(
                f"batch_size={self.batch_size}: expected at least 2, which a normalisation needs, and at most "
                f"train_canvases={self.train_canvases}"
            )

    def recipe(self, seed: int) -> Recipe:
        """Return the recipe of a training with these settings."""
        return Recipe().changed(
            {
                "epochs": self.epochs,
                "global_batch_size": self.batch_size,
                "seed": seed,
                "optimizer": "adamw",
                "lr": self.learning_rate,
                "lr_batch_size": self.batch_size,
                "weight_decay": self.weight_decay,
                "clip_norm": _CLIP_NORM,
                "warmup_epochs": _WARMUP_EPOCHS,
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the settings by name."""
        return asdict(self)


DEFAULTS = {
    "segmentation": DenseSettings(epochs=9, learning_rate=0.01),
    "detection": DenseSettings(epochs=6, learning_rate=0.004),
}
"""By task: each comparison takes about ten minutes of two cores."""
