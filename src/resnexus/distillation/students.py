"""Baseline and student of every seed: the stages of a run that are done more than once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnexus.distillation.configs import Config
from resnexus.distillation.fixres import evaluated, fix_resolution
from resnexus.distillation.materials import open_labelled
from resnexus.distillation.pooling import MinedPool
from resnexus.distillation.stages import finetune, train_student
from resnexus.distillation.steps import Finished, Left, Steps
from resnexus.report.distillation_record import BASELINE, SeedResult
from resnexus.trainer import Trained, train_on
from resnexus.training.preparation import preparation
from resnexus.training.recipe import Recipe

LARGER = ("larger", "fixres")
"""Stages at another size."""
_WEIGHTS = "last.safetensors"


@dataclass(frozen=True, kw_only=True)
class Student:
    """What the students of a run learn from.

    Attributes:
        config: of the run.
        steps: of the run.
        pool: what was mined.
        teacher: its name or file.
        labelled: the labelled pictures.
        labelled_pictures: how many of them there are to train on.
        running: where and how trainings run.
    """

    config: Config
    steps: Steps
    pool: MinedPool
    teacher: str
    labelled: str
    labelled_pictures: int
    running: Any


@dataclass(frozen=True, kw_only=True)
class Students:
    """What became of them.

    Attributes:
        results: stage -> what it came to, seed by seed; the baseline first.
        weights: of the last stage at the student's own size, seed by seed.
        larger: of the last stage at another size, seed by seed; empty if there is none.
    """

    results: dict[str, list[SeedResult]]
    weights: list[Path]
    larger: list[Path]


def batches(images: int, recipe: Recipe) -> int:
    """Return the steps of a training on so many images; as `EpochOrder` cuts them, on one process."""
    whole, rest = divmod(images, recipe.global_batch_size)
    return recipe.epochs * max(1, whole + (rest >= 2))


def as_many_steps(steps: int, images: int, recipe: Recipe) -> int:
    """Return the epochs of `images` that make at least as many steps."""
    return -(-steps // batches(images, recipe.changed({"epochs": 1, "warmup_epochs": 0})))


def students(given: Student) -> Students:
    """Train baseline and student of every seed, in all stages that the configuration has."""
    results: dict[str, list[SeedResult]] = {}
    weights: list[Path] = []
    larger: list[Path] = []
    for seed in range(given.config.seeds):
        stages = _stages(given, seed)
        for stage, done in stages:
            result = SeedResult(
                seed=seed, top1=done.figures["top1"], images=done.figures["images"], seconds=done.seconds
            )
            results.setdefault(stage, []).append(result)
        files = {stage: given.steps.out / place for stage, done in stages for place in done.files}
        weights.append([path for stage, path in files.items() if stage not in LARGER][-1])
        larger += [path for stage, path in files.items() if stage in LARGER][-1:]
    return Students(results=results, weights=weights, larger=larger)


def _stages(given: Student, seed: int) -> list[tuple[str, Finished]]:
    config, steps = given.config, given.steps
    stage1, second = config.stage1_recipe(seed), config.stage2 is not None
    stage2 = config.stage2_recipe(seed)
    total = batches(given.pool.counts.mined + given.labelled_pictures * (not config.score.replay), stage1)
    total += batches(given.labelled_pictures, stage2) if second else 0
    epochs = as_many_steps(total, given.labelled_pictures, stage1)
    baseline = config.baseline_recipe(seed, epochs)
    row = config.row(config.student)

    def done(name: str, recipe: Recipe, work: Callable[[Path, str], Trained], *after: str) -> Finished:
        def job(folder: Path) -> Left:
            work(folder, f"{name}, seed {seed}")
            weights = folder / _WEIGHTS
            found = evaluated(weights, given.labelled, given.running)
            return Left(files=(weights,), figures={"top1": found.top1, "images": found.images})

        depends = {"row": repr(row), "recipe": recipe.flat(), "replay": config.score.replay}
        return steps.step(f"{name}-seed{seed}", depends, job, *after)

    def from_labels(folder: Path, label: str) -> Trained:
        images = open_labelled(given.labelled, *preparation(baseline), seed, given.running["progress"])
        # Of many short epochs: evaluated once, at the end.
        return train_on(
            row, images.train, None, baseline, preprocess=images.preprocess, out=folder, label=label, **given.running
        )

    def from_pool(folder: Path, label: str) -> Trained:
        return train_student(
            given.pool.cache,
            row,
            out=folder,
            recipe=stage1,
            teacher=None if config.score.replay else given.teacher,
            labelled=given.labelled,
            selection=given.pool.selection,
            label=label,
            **given.running,
        )

    def from_labelled(folder: Path, label: str) -> Trained:
        first = steps.file(f"stage1-seed{seed}", _WEIGHTS)
        teacher = None if stage2.distil.distillation == "none" else given.teacher
        return finetune(first, given.labelled, out=folder, recipe=stage2, teacher=teacher, label=label, **given.running)

    found = [(BASELINE, done(BASELINE, baseline, from_labels, "data"))]
    found.append(("stage1", done("stage1", stage1, from_pool, "data", "teacher", "mine")))
    if second:
        found.append(("stage2", done("stage2", stage2, from_labelled, "teacher", f"stage1-seed{seed}")))
    return found if config.fixres is None else [*found, *_larger(given, seed, found[-1][0])]


def _larger(given: Student, seed: int, before: str) -> list[tuple[str, Finished]]:
    """Return the student at another size, as it is and with its classifier trained there."""
    config, steps = given.config, given.steps
    fixres = config.fixres
    if fixres is None:
        return []
    recipe, weights = config.fixres_recipe(seed), steps.file(f"{before}-seed{seed}", _WEIGHTS)
    size, name = fixres.size, f"fixres-seed{seed}"

    def job(folder: Path) -> Left:
        found = fix_resolution(
            weights, given.labelled, out=folder, recipe=recipe, sizes=(size,), size=size, label=name, **given.running
        )
        (as_it_is,) = found.sizes
        figures = {"top1": found.tuned.top1, "images": found.tuned.images, "larger": as_it_is.top1}
        return Left(files=(folder / _WEIGHTS,), figures=figures)

    tuned = steps.step(name, {"recipe": recipe.flat(), "size": size}, job, f"{before}-seed{seed}")
    figures = {"top1": tuned.figures["larger"], "images": tuned.figures["images"]}
    larger = Finished(name="larger", key=tuned.key, files={}, figures=figures, seconds=0.0)
    return [("larger", larger), ("fixres", tuned)]
