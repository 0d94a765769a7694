"""All that a comparison in segmentation or detection measured: the page is built from nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from resnexus.benchmark.environment import Environment
from resnexus.benchmark.ranges import not_negative, positive, whole
from resnexus.errors import ResnexusError

SCHEMA = 1

TITLES = {"miou": "mIoU", "map": "mAP", "map_50": "AP at 0.50"}
"""Metric -> what it is called in print."""


@dataclass(frozen=True, kw_only=True)
class Box:
    """A box in pixels, and the class that is in it.

    Attributes:
        left: of the box.
        top: of the box.
        right: outside the box.
        bottom: outside the box.
        label: name of the class.
        score: from 0 to 1; None of a true box.
    """

    left: float
    top: float
    right: float
    bottom: float
    label: str
    score: float | None = None


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What is, or is found, in one image.

    Attributes:
        classes: one text a row, one letter a pixel: `.` the background, else the name of the class; empty if boxes are
            found instead.
        boxes: empty if classes of pixels are found instead.
    """

    classes: tuple[str, ...] = ()
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Example:
    """An image of the evaluation with the truth.

    Attributes:
        pixels: one text a row, two hexadecimal digits a pixel: its grey level.
        truth: what is in it.
    """

    pixels: tuple[str, ...]
    truth: Scene


@dataclass(frozen=True, kw_only=True)
class DenseRun:
    """One training of one network.

    Attributes:
        seed: of the initial weights and of the training canvases and their order.
        scores: metric -> fraction; the first is what networks are compared by.
        losses: mean training loss of every epoch.
        seconds: of training.
        found: what it finds in the examples, in their order.
    """

    seed: int
    scores: dict[str, float]
    losses: tuple[float, ...]
    seconds: float
    found: tuple[Scene, ...]

    def __post_init__(self) -> None:
        not_negative(seed=self.seed, seconds=self.seconds, **self.scores)
        if not self.scores or max(self.scores.values()) > 1:
            raise ResnexusError(f"scores={self.scores}: expected fractions, 0 to 1, at least one")

    @property
    def score(self) -> float:
        """What networks are compared by."""
        return next(iter(self.scores.values()))


@dataclass(frozen=True, kw_only=True)
class DenseTrained:
    """What was counted and measured with one network as backbone.

    Attributes:
        name: of the network.
        family: `"ResNet"`, `"ResNeXt"`, `"SENet"` or `"Res2Net"`.
        gflops: 2 x multiply-adds / 1e9 of the backbone per image, counted.
        mparams: trainable parameters of the backbone in millions, counted.
        runs: one per seed.
    """

    name: str
    family: str
    gflops: float
    mparams: float
    runs: tuple[DenseRun, ...]

    def __post_init__(self) -> None:
        positive(gflops=self.gflops, mparams=self.mparams)


@dataclass(frozen=True, kw_only=True)
class DenseComparison:
    """All that `resnexus compare --task` measured; the report is built from this alone.

    Attributes:
        task: `"segmentation"` or `"detection"`.
        train_images: in an epoch.
        val_images: evaluated.
        image_size: pixels on a side.
        settings: of the trainings, name -> value, the same for every network.
        environment: where it was measured.
        examples: that are shown.
        networks: in the order in which they were asked for, at least one, all with the same metrics.
        schema: version of this layout.
    """

    task: Literal["segmentation", "detection"]
    train_images: int
    val_images: int
    image_size: int
    settings: dict[str, str | int | float | bool | None]
    environment: Environment
    examples: tuple[Example, ...]
    networks: tuple[DenseTrained, ...]
    schema: int = field(default=SCHEMA)

    def __post_init__(self) -> None:
        whole(train_images=self.train_images, val_images=self.val_images, image_size=self.image_size)
        if self.schema != SCHEMA:
            raise ResnexusError(f"schema={self.schema}: expected {SCHEMA}; compare again with this version")
        if not self.networks or any(not network.runs for network in self.networks):
            raise ResnexusError("no trained network: a comparison needs at least one, and of every network a run")

    @property
    def metric(self) -> str:
        """What networks are compared by, e.g. `"miou"`."""
        return next(iter(self.networks[0].runs[0].scores))
