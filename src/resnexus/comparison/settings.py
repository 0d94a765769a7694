"""What can be chosen of the trainings of a comparison."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from resnexus.errors import ResnexusError
from resnexus.training.recipe import Recipe
from resnexus.training.sections import Precision

REFERENCE_BATCH = 256


@dataclass(frozen=True, kw_only=True)
class Settings:
    """SGD with momentum, cosine learning rate to 0 per step, label smoothing and mixup, as published.

    Attributes:
        epochs: passes over the training images.
        batch_size: images per step.
        learning_rate: at the start; None means 0.1 * batch_size / 256, the published rule.
        momentum: of SGD, without Nesterov.
        weight_decay: L2, added to the gradient of every parameter, normalisations and biases included.
        label_smoothing: share of the target spread over all classes.
        mixup: alpha of the Beta distribution, 0 for none.
        workers: processes that read images; 0 reads in the training process.
        allow_bad_images: skip images that cannot be read, instead of stopping at the first.

    Raises:
        ResnexusError: a value outside its range; names it and the range.
    """

    epochs: int = 20
    batch_size: int = 128
    learning_rate: float | None = None
    momentum: float = 0.9
    weight_decay: float = 1e-4
    label_smoothing: float = 0.1
    mixup: float = 0.2
    workers: int = 0
    allow_bad_images: bool = False

    def __post_init__(self) -> None:
        for name in _WHOLE:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise ResnexusError(f"{name}={value!r}: expected a whole number")
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                at_most = "" if high == float("inf") else f" and at most {high:g}"
                raise ResnexusError(f"{name}={value!r}: expected at least {low:g}{at_most}")

    @property
    def initial_learning_rate(self) -> float:
        """The learning rate of the first step."""
        if self.learning_rate is not None:
            return self.learning_rate
        return 0.1 * self.batch_size / REFERENCE_BATCH

    def recipe(self, seed: int, precision: Precision) -> Recipe:
        """Return the recipe of a training with these settings."""
        return Recipe().changed(
            {
                "epochs": self.epochs,
                "global_batch_size": self.batch_size,
                "lr": self.initial_learning_rate,
                "lr_batch_size": self.batch_size,
                "momentum": self.momentum,
                "weight_decay": self.weight_decay,
                "label_smoothing": self.label_smoothing,
                "mixup_alpha": self.mixup,
                "workers": self.workers,
                "seed": seed,
                "precision": precision,
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the settings by name."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


_WHOLE = ("epochs", "batch_size", "workers")
_RANGES = (
    ("epochs", 1, float("inf")),
    ("batch_size", 2, float("inf")),  # a normalisation needs two values
    ("learning_rate", 0, float("inf")),
    ("momentum", 0, 1),
    ("weight_decay", 0, float("inf")),
    ("label_smoothing", 0, 1),
    ("mixup", 0, float("inf")),
    ("workers", 0, float("inf")),
)
