"""What is asked of a quantisation."""

from __future__ import annotations

from dataclasses import dataclass

from resnexus.benchmark.bench import SETTLE_S
from resnexus.benchmark.ranges import not_negative, whole
from resnexus.errors import ResnexusError, unknown
from resnexus.series.imagenet_sets import NAMINGS


@dataclass(frozen=True, kw_only=True)
class QuantisationSettings:
    """What is asked of a quantisation.

    Attributes:
        max_drop: points of top-1 that int8 may cost on the validation images.
        calibration_images: how many of the images for training give the ranges, at most.
        validation_images: on how many of the images for evaluation accuracy is measured, at most; all if None.
        seed: of the draw of both.
        labels: what the class folders are called, one of `series.imagenet_sets.NAMINGS`; recognised if None.
        batch_size: images per forward pass.
        workers: processes that read images.
        latency_batches: batch sizes that are timed; none to time nothing.
        rounds: of timing, in which all forms take turns.
        settle_s: seconds of untimed calls before each timed one, at least one call.

    Raises:
        ResnexusError: a value that is not accepted.
    """

    max_drop: float = 0.5
    calibration_images: int = 300
    validation_images: int | None = None
    seed: int = 0
    labels: str | None = None
    batch_size: int = 32
    workers: int = 0
    latency_batches: tuple[int, ...] = (1,)
    rounds: int = 10
    settle_s: float = SETTLE_S

    def __post_init__(self) -> None:
        if self.labels is not None and self.labels not in NAMINGS:
            raise unknown("labels", self.labels, NAMINGS)
        not_negative(max_drop=self.max_drop, seed=self.seed, workers=self.workers, settle_s=self.settle_s)
        whole(calibration_images=self.calibration_images, batch_size=self.batch_size, rounds=self.rounds)
        if self.validation_images is not None:
            whole(validation_images=self.validation_images)
        for size in self.latency_batches:
            whole(batch_size=size)
        if len(set(self.latency_batches)) < len(self.latency_batches):
            raise ResnexusError(f"batch sizes {', '.join(map(str, self.latency_batches))}: one is named twice")
