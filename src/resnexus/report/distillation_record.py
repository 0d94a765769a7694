"""All that a run of `resnexus distill` counted and measured: its page is built from nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field

from resnexus.benchmark.environment import Environment
from resnexus.benchmark.ranges import not_negative, positive, whole
from resnexus.errors import ResnexusError

SCHEMA = 2
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
        size: of the images, pixels on a side.
        results: one for each seed.
    """

    name: str
    title: str
    what: str
    size: int
    results: tuple[SeedResult, ...]

    def __post_init__(self) -> None:
        whole(size=self.size)
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
        unsure: left out because no class is as probable as `min_confidence`.
        surplus: left out because their class has `most` of which the teacher is surer.
        mined: that the student learned from.
        min_confidence: least probability of the most probable class.
        most: pictures of a class at most.
        per_class: class as the teacher sees it -> pictures mined.

    Raises:
        ResnexusError: a number out of range, or pictures that are counted twice or not at all.
    """

    pictures: int
    unreadable: int
    duplicates: int | None
    unsure: int
    surplus: int
    mined: int
    min_confidence: float
    most: int
    per_class: dict[str, int]

    def __post_init__(self) -> None:
        whole(pictures=self.pictures, most=self.most)
        _fraction("min_confidence", self.min_confidence)
        counts = {"unreadable": self.unreadable, "duplicates": self.duplicates or 0, "unsure": self.unsure}
        counts |= {"surplus": self.surplus, "mined": self.mined}
        not_negative(**counts)
        if sum(counts.values()) != self.pictures:
            raise ResnexusError(f"{counts}: expected a sum of {self.pictures}, each picture counted once")

    @property
    def rare(self) -> dict[str, int]:
        """Classes with fewer pictures than were asked for -> how many they have, those with the fewest first."""
        found = {name: count for name, count in self.per_class.items() if count < self.most}
        return dict(sorted(found.items(), key=lambda entry: entry[1]))


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
        weights: the student's files, by seed; those of another size by seed and size, such as `"0, 320 pixels"`.
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

    @property
    def own_size(self) -> tuple[Stage, ...]:
        """The stages at the size of the baseline, which it is compared with: another size costs other FLOPs."""
        return tuple(stage for stage in self.stages if stage.size == self.stages[0].size)

    @property
    def other_size(self) -> tuple[Stage, ...]:
        """The stages at another size."""
        return tuple(stage for stage in self.stages if stage.size != self.stages[0].size)


def _fraction(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ResnexusError(f"{name}={value}: expected 0 to 1")
