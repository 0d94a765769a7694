"""All that a comparison in segmentation or detection measured: the page is built from nothing else."""

from __future__ import annotations

import string
from dataclasses import dataclass, field
from typing import Literal

from resnexus.benchmark.environment import Environment
from resnexus.benchmark.ranges import not_negative, positive, whole
from resnexus.errors import ResnexusError

SCHEMA = 1

TITLES = {"miou": "mIoU", "map": "mAP", "map_50": "AP at 0.50"}
"""Metric -> what it is called in print."""

LETTERS = string.digits + string.ascii_letters + "".join(map(chr, range(0xC0, 0x180)))
"""By which classes are told apart in a scene: the first class is the first letter. Digits are their own."""

UNCLEAR = "?"
"""The letter of a pixel without a class."""


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
        classes: one text a row, one letter a pixel: `.` the background, `?` no class, else of `LETTERS`; empty if boxes
            are found instead.
        boxes: empty if classes of pixels are found instead.
    """

    classes: tuple[str, ...] = ()
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Example:
    """An image of the evaluation with the truth.

    Attributes:
        pixels: one text a row, two hexadecimal digits a pixel: its grey level; or six, red, green and blue.
        colour: whether they are six.
        truth: what is in it.
    """

    pixels: tuple[str, ...]
    truth: Scene
    colour: bool = False


@dataclass(frozen=True, kw_only=True)
class Milestone:
    """How good a network is amid its training.

    Attributes:
        epoch: after which it was evaluated, from 1.
        score: what networks are compared by, a fraction.
    """

    epoch: int
    score: float

    def __post_init__(self) -> None:
        whole(epoch=self.epoch)
        not_negative(score=self.score)


@dataclass(frozen=True, kw_only=True)
class DenseRun:
    """One training of one network.

    Attributes:
        seed: of the initial weights, and of the training images and their order.
        scores: metric -> fraction; the first is what networks are compared by.
        losses: mean training loss of every epoch.
        seconds: of training.
        found: what it finds in the examples, in their order.
        curve: what networks are compared by, after some epochs, the last among them; empty where that was not measured.
    """

    seed: int
    scores: dict[str, float]
    losses: tuple[float, ...]
    seconds: float
    found: tuple[Scene, ...]
    curve: tuple[Milestone, ...] = ()

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
        data: `"digits"`, which lie on canvases, or layout and name of a folder of photographs, such as `"voc:VOC2012"`.
        classes: names, without the background; those of digits if empty.
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
    data: str = "digits"
    classes: tuple[str, ...] = ()
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

    @property
    def photographs(self) -> bool:
        """Whether it is of photographs, and not of digits on canvases."""
        return self.data != "digits"

    @property
    def names(self) -> dict[str, str]:
        """The name of the class of every letter."""
        return dict(zip(LETTERS, self.classes or tuple(string.digits), strict=False))
