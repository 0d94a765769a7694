"""How a network is trained, as one record of plain values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from resnexus.errors import ResnexusError, unknown

Schedule = Literal["cosine", "step"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """SGD with momentum and L2 on every parameter; the defaults are what the published recipes have in common.

    Attributes:
        epochs: passes over the training images.
        schedule: of the learning rate: `"cosine"` to 0, per step, or `"step"`: x 0.1 after 30, 60 and 90 epochs.
        batch_size: images per step.
        learning_rate: at the start.
        momentum: of SGD, without Nesterov.
        weight_decay: L2, added to the gradient, normalisations and biases included.
        label_smoothing: share of the target spread over all classes, 0 for none.
        mixup: alpha of the Beta distribution, 0 for none.

    Raises:
        ResnexusError: a value outside its range; names it and the range.
    """

    epochs: int
    schedule: Schedule = "cosine"
    batch_size: int = 256
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4
    label_smoothing: float = 0.0
    mixup: float = 0.0

    def __post_init__(self) -> None:
        if self.schedule not in get_args(Schedule):
            raise unknown("schedule", self.schedule, get_args(Schedule))
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if not low <= value <= high or math.isinf(value):
                at_most = "" if math.isinf(high) else f" and at most {high:g}"
                raise ResnexusError(f"{name}={value!r}: expected at least {low:g}{at_most}")


_RANGES = (
    ("epochs", 1, math.inf),
    ("batch_size", 1, math.inf),
    ("learning_rate", 0, math.inf),
    ("momentum", 0, 1),
    ("weight_decay", 0, math.inf),
    ("label_smoothing", 0, 1),
    ("mixup", 0, math.inf),
)
