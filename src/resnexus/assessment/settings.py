"""What is asked of an evaluation."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import get_args

from resnexus.errors import ResnexusError, unknown
from resnexus.evaluation.corruptions.table import SEVERITIES, check_severity, find_corruption
from resnexus.evaluation.evaluate import Precision
from resnexus.packages import installed_version
from resnexus.series.imagenet_sets import NAMINGS

PARTS = ("val", "all")


@dataclass(frozen=True, kw_only=True)
class AssessmentSettings:
    """What is asked of an evaluation.

    Attributes:
        labels: what the class folders are called, one of `series.imagenet_sets.NAMINGS`; recognised if None.
        part: `"val"` for the images that `train` keeps to evaluate on, `"all"` for every image of the folder; if None,
            `"val"`, but `"all"` where no val/ is there for the test sets that are known and for published weights.
        image_size: pixels on a side; those of the network's record if None.
        sizes: other sizes to evaluate at.
        sensitivity: whether to try other ways to resize and crop.
        corruptions: names of `evaluation.corruptions.table.CORRUPTIONS`.
        severities: of each corruption, 1 to 5.
        seed: of the corruptions.
        real: the file `real.json` of ReaL labels.
        against: folder of another evaluation.
        confusions: pairs of classes to show.
        examples: pictures to show of each.
        batch_size: images per forward pass.
        device: where the network runs, as `resnexus.devices.device_word` takes it.
        workers: processes that read images.
        precision: of the network.

    Raises:
        ResnexusError: a value that is not accepted or has no effect, or a package that a corruption needs is not
            installed.
    """

    labels: str | None = None
    part: str | None = None
    image_size: int | None = None
    sizes: tuple[int, ...] = ()
    sensitivity: bool = False
    corruptions: tuple[str, ...] = ()
    severities: tuple[int, ...] = SEVERITIES
    seed: int = 0
    real: str | os.PathLike[str] | None = None
    against: str | os.PathLike[str] | None = None
    confusions: int = 10
    examples: int = 4
    batch_size: int = 64
    device: str = "cpu"
    workers: int = 0
    precision: Precision = "fp32"

    def __post_init__(self) -> None:
        if self.labels is not None and self.labels not in NAMINGS:
            raise unknown("labels", self.labels, NAMINGS)
        if self.part is not None and self.part not in PARTS:
            raise unknown("part of the images", self.part, PARTS)
        if self.precision not in get_args(Precision):
            raise unknown("precision", self.precision, get_args(Precision))
        for package in {row.package for row in map(find_corruption, self.corruptions) if row.package is not None}:
            installed_version(package)
        for severity in self.severities:
            check_severity(severity)
        for what in ("sizes", "corruptions", "severities"):
            values = getattr(self, what)
            if len(set(values)) < len(values):
                raise ResnexusError(f"{what}={','.join(map(str, values))}: one is named twice")
        for name, least in (("confusions", 0), ("examples", 0), ("seed", 0), ("batch_size", 1), ("workers", 0)):
            if getattr(self, name) < least:
                raise ResnexusError(f"{name}={getattr(self, name)}: expected at least {least}")
        for name, plain in (("severities", SEVERITIES), ("seed", 0)):
            if not self.corruptions and getattr(self, name) != plain:
                raise ResnexusError(
                    f"{name}={getattr(self, name)} has no effect without corruptions: name some of them"
                )
