"""All that a comparison counted and measured: tables, figures and the page are built from nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import fmean

from resnexus.benchmark.cell import Cell
from resnexus.benchmark.environment import Environment
from resnexus.benchmark.ranges import not_negative, positive, whole
from resnexus.errors import ResnexusError

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training of one network.

    Attributes:
        seed: of the initial weights, the order of the images and the augmentation.
        top1: accuracy on the validation images after the last epoch, a fraction.
        top5: as `top1`, or among all classes if there are fewer than five.
        images: validation images evaluated.
        skipped: validation images that could not be read, each with the reason.
        skipped_in_training: training images that could not be read, likewise.
        epochs: passes over the training images.
        seconds: of training.
    """

    seed: int
    top1: float
    top5: float
    images: int
    skipped: tuple[str, ...]
    skipped_in_training: tuple[str, ...]
    epochs: int
    seconds: float

    def __post_init__(self) -> None:
        _fractions(top1=self.top1, top5=self.top5)
        whole(images=self.images, epochs=self.epochs)
        not_negative(seed=self.seed, seconds=self.seconds)


@dataclass(frozen=True, kw_only=True)
class TrainedNetwork:
    """What was counted and measured of one network on the user's data.

    Attributes:
        name: of the network.
        family: `"ResNet"`, `"ResNeXt"`, `"SENet"` or `"Res2Net"`.
        line: networks with the same line are joined in the figures.
        image_size: pixels on a side.
        gflops: 2 x multiply-adds / 1e9 per image, counted.
        mparams: trainable parameters in millions, counted.
        runs: one per seed.
    """

    name: str
    family: str
    line: str
    image_size: int
    gflops: float
    mparams: float
    runs: tuple[Run, ...]

    def __post_init__(self) -> None:
        whole(image_size=self.image_size)
        positive(gflops=self.gflops, mparams=self.mparams)

    @property
    def mean_top1(self) -> float:
        """Mean top-1 of the runs, a fraction; there must be one."""
        return fmean(run.top1 for run in self.runs)


@dataclass(frozen=True, kw_only=True)
class WrongCell:
    """A published figure that is wrong, and why; `counted` is None if it cannot be counted."""

    field: str
    published: float
    counted: float | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class SeriesNetwork:
    """One network of the series: what was published beside what was counted.

    Attributes:
        name: of the checkpoint, e.g. `"Res2Net50_vd_26w_4s_ssld"`, or of the baseline.
        architecture: the network's row.
        family: as for `TrainedNetwork`.
        line: as for `TrainedNetwork`.
        top1: published, a fraction.
        top5: published, a fraction.
        reference_top1: the paper's, or None.
        reference_top5: the paper's, or None.
        published_gflops: as printed.
        published_mparams: as printed.
        gflops: counted.
        mparams: counted.
        v100_ms: published latency of one image on a V100 in fp32, or None.
        t4_ms: published latencies on a T4, by `"fp16_bs1"` .. `"fp32_bs8"`; empty if there are none.
        errata: the published cells that are wrong.
    """

    name: str
    architecture: str
    family: str
    line: str
    top1: float
    top5: float
    reference_top1: float | None
    reference_top5: float | None
    published_gflops: float
    published_mparams: float
    gflops: float
    mparams: float
    v100_ms: float | None
    t4_ms: dict[str, float]
    errata: tuple[WrongCell, ...]

    def __post_init__(self) -> None:
        _fractions(top1=self.top1, top5=self.top5)
        positive(gflops=self.gflops, mparams=self.mparams, **self.t4_ms)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All that `resnexus compare` counted and measured; the report is built from this alone.

    Attributes:
        data: name of the data set.
        classes: how many.
        chance: top-1 of always naming the class with the most validation images, a fraction.
        train_images: how many.
        val_images: how many.
        split: how images without train/ and val/ were divided, in a sentence; empty if they were not.
        ignored: files among the images that are none.
        settings: the training settings, name -> value, the same for every network.
        environment: where it was measured.
        networks: trained on the data, in the order in which they were asked for.
        latency: of these networks, at their image size.
        series: the published table beside what was counted.
        series_latency: of the series at 224x224; not all networks if `quick`.
        quick: whether the series was timed in the quick mode: few networks, few repeats.
        schema: version of this layout.
    """

    data: str
    classes: int
    chance: float
    train_images: int
    val_images: int
    split: str
    ignored: tuple[str, ...]
    settings: dict[str, str | int | float | bool | None]
    environment: Environment
    networks: tuple[TrainedNetwork, ...]
    latency: tuple[Cell, ...]
    series: tuple[SeriesNetwork, ...]
    series_latency: tuple[Cell, ...]
    quick: bool
    schema: int = field(default=SCHEMA)

    def __post_init__(self) -> None:
        _fractions(chance=self.chance)
        whole(classes=self.classes, train_images=self.train_images, val_images=self.val_images)
        if self.schema != SCHEMA:
            raise ResnexusError(f"schema={self.schema}: expected {SCHEMA}; compare again with this version")


def _fractions(**values: float) -> None:
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise ResnexusError(f"{name}={value}: expected 0 to 1")
