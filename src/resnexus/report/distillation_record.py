"""All that a run of `resnexus distill` counted and measured: its page is built from nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field

from resnexus.benchmark.environment import Environment
from resnexus.benchmark.ranges import not_negative, positive, whole
from resnexus.errors import ResnexusError

SCHEMA = 1
BASELINE = "baseline"
"""Name of the stage that the others are compared with: the student from labels alone, for as many steps."""


@dataclass(frozen=True, kw_only=True)
class SeedResult:
    """A student, or the baseline, of one seed after one stage.

    Attributes:
        seed: of weights, order and augmentation.
        top1: on the images to evaluate on, a fraction.
        images: that were evaluated.
        seconds: that the stage took.
    """

    seed: int
    top1: float
    images: int
    seconds: float

    def __post_init__(self) -> None:
        _fraction("top1", self.top1)
        whole(images=self.images)
        not_negative(seed=self.seed, seconds=self.seconds)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of all seeds.

    Attributes:
        name: `BASELINE`, or the step's.
        title: in print.
        what: was done, in a sentence.
        results: one for each seed.
    """

    name: str
    title: str
    what: str
    results: tuple[SeedResult, ...]

    def __post_init__(self) -> None:
        if not self.results:
            raise ResnexusError(f"stage {self.name!r}: expected at least one seed")

    @property
    def by_seed(self) -> dict[int, float]:
        """Seed -> top-1."""
        return {result.seed: result.top1 for result in self.results}


@dataclass(frozen=True, kw_only=True)
class TeacherResult:
    """The teacher of a run.

    Attributes:
        name: as it was given, or of its row.
        learned: what it was trained on, in a sentence.
        top1: on the images to evaluate on, a fraction.
        images: that were evaluated.
    """

    name: str
    learned: str
    top1: float
    images: int

    def __post_init__(self) -> None:
        _fraction("top1", self.top1)
        whole(images=self.images)


@dataclass(frozen=True, kw_only=True)
class PoolCounts:
    """What became of the pictures without labels.

    Attributes:
        pictures: in the pool.
        unreadable: that could not be read.
        duplicates: near-duplicates of labelled pictures, left out; None if they were not looked for.
        mined: that the student learned from.
        per_class: class as the teacher sees it -> pictures mined.
    """

    pictures: int
    unreadable: int
    duplicates: int | None
    mined: int
    per_class: dict[str, int]

    def __post_init__(self) -> None:
        whole(pictures=self.pictures)
        not_negative(unreadable=self.unreadable, mined=self.mined, duplicates=self.duplicates or 0)


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A picture on the page.

    Attributes:
        name: where it lies.
        why: it was kept or dropped, in a few words.
        src: the picture as an address that holds it, `data:image/...`.
    """

    name: str
    why: str
    src: str


@dataclass(frozen=True, kw_only=True)
class DistillationRun:
    """All that a run counted and measured.

    Attributes:
        config: its name.
        data: name of the labelled data.
        classes: how many.
        labelled: labelled pictures to train on.
        val: labelled pictures to evaluate on.
        pool: what became of the pictures without labels.
        teacher: the teacher.
        student: name of its row.
        gflops: of the student, 2 x multiply-adds / 1e9 per image.
        mparams: of the student, in millions.
        stages: the baseline first, then the student's, in their order.
        mined: some pictures that were kept.
        dropped: some that were left out.
        weights: the student's files, by seed.
        settings: of the run, name -> value.
        seconds: step -> how long it took.
        environment: where it ran.
        schema: version of this layout.
    """

    config: str
    data: str
    classes: int
    labelled: int
    val: int
    pool: PoolCounts
    teacher: TeacherResult
    student: str
    gflops: float
    mparams: float
    stages: tuple[Stage, ...]
    mined: tuple[Shown, ...]
    dropped: tuple[Shown, ...]
    weights: dict[str, str]
    settings: dict[str, str | int | float | bool | None]
    seconds: dict[str, float]
    environment: Environment
    schema: int = field(default=SCHEMA)

    def __post_init__(self) -> None:
        whole(classes=self.classes, labelled=self.labelled, val=self.val)
        positive(gflops=self.gflops, mparams=self.mparams)
        if not self.stages or self.stages[0].name != BASELINE:
            raise ResnexusError(f"stages={[stage.name for stage in self.stages]}: expected {BASELINE!r} first")
        if self.schema != SCHEMA:
            raise ResnexusError(f"schema={self.schema}: expected {SCHEMA}; run again with this version")


def _fraction(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ResnexusError(f"{name}={value}: expected 0 to 1")
