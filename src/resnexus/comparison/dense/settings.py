"""What can be chosen of the trainings of a segmenter or a detector."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from resnexus.architectures.dilation import resolved_output_stride
from resnexus.architectures.spec import Architecture
from resnexus.benchmark.ranges import not_negative, whole
from resnexus.errors import ResnexusError, unknown
from resnexus.training.recipe import Recipe

_WARMUP_EPOCHS = 0.25
_CLIP_NORM = 5.0


@dataclass(frozen=True, kw_only=True)
class DenseSettings:
    """AdamW with a short warm-up and a cosine to 0 per step, the same for every network.

    Attributes:
        epochs: each composes its canvases anew; photographs are passed over.
        learning_rate: at its highest.
        train_images: in an epoch; of photographs as many as there are.
        val_images: to evaluate on, the same for every seed: canvases of glyphs that are not trained on, or photographs.
        batch_size: images per step.
        weight_decay: decoupled, of every parameter.
        stage_lr: factors of the learning rate for the backbone's stem with its first stage, for each further stage, and
            for pyramid and head; empty for one rate everywhere.
        output_stride: of a segmenter's backbone: its last maps stay as large as at that stride, by dilation; the row's
            own if None.

    Raises:
        ResnexusError: a value outside its range; names it and the range.
    """

    epochs: int
    learning_rate: float
    train_images: int = 512
    val_images: int = 200
    batch_size: int = 8
    weight_decay: float = 0.02
    stage_lr: tuple[float, ...] = ()
    output_stride: int | None = None

    def __post_init__(self) -> None:
        whole(epochs=self.epochs, train_images=self.train_images, val_images=self.val_images)
        not_negative(learning_rate=self.learning_rate, weight_decay=self.weight_decay)
        if not 2 <= self.batch_size <= self.train_images:
            raise ResnexusError(
                f"batch_size={self.batch_size}: expected at least 2, which a normalisation needs, and at most "
                f"train_images={self.train_images}"
            )
        self.recipe(0)  # which refuses factors below 0

    def check_stages(self, row: Architecture) -> None:
        """See that a network has the output stride, and as many parts as there are factors, if there are any.

        Raises:
            ResnexusError: it has not.
        """
        resolved_output_stride(row, self.output_stride)
        parts = len(row.depths) + 1
        if self.stage_lr and len(self.stage_lr) != parts:
            raise ResnexusError(
                f"stage_lr={self.stage_lr}: expected {parts} factors for {row.name}, one for stem and first stage, one "
                "for each further stage, and one for pyramid and head"
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
                "stage_lr": list(self.stage_lr),
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the settings by name."""
        return asdict(self)


DEFAULTS = {
    "segmentation": DenseSettings(epochs=9, learning_rate=0.01),
    "detection": DenseSettings(epochs=6, learning_rate=0.004),
}
"""By task, for canvases: a training takes about a minute of one core."""

PHOTOGRAPHS = {
    "segmentation": DenseSettings(epochs=12, learning_rate=0.0005),
    "detection": DenseSettings(epochs=12, learning_rate=0.0005),
}
"""By task, for photographs: a beginning, on a GPU."""


def defaults(task: str, *, digits: bool) -> DenseSettings:
    """Return the settings of a task on canvases of digits, or on photographs.

    Raises:
        ResnexusError: there is no such task.
    """
    rows = DEFAULTS if digits else PHOTOGRAPHS
    if task not in rows:
        raise unknown("task", task, ["classification", *rows])
    return rows[task]
