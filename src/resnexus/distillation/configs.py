"""The configuration of a whole run: what ships by name, or one of your own in YAML, read strictly."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from resnexus.architectures.catalog import architecture
from resnexus.architectures.spec import Architecture
from resnexus.distillation.embedded import EMBEDDED
from resnexus.distillation.objectives import objective
from resnexus.errors import ResnexusError, printable, unknown
from resnexus.records import from_plain
from resnexus.training.recipe import Recipe

_FOLDER = "configurations"
TRAINED_ON = ("labelled", "all")


@dataclass(frozen=True, kw_only=True)
class TeacherConfig:
    """The teacher.

    Attributes:
        given: a published network `NAME[:TAG]` or a file of weights, which is taken as it is; None to train one.
        model: of the one that is trained.
        trained_on: the labelled pictures that the student has, too, or `"all"`, the pool with labels that the student
            never sees: only embedded data have them.
        recipe: what differs from the recipe `distil`, with labels in place of a teacher.
    """

    given: str | None = None
    model: str = "ResNet_small"
    trained_on: str = "labelled"
    recipe: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.trained_on not in TRAINED_ON:
            raise unknown("trained_on", self.trained_on, TRAINED_ON)


@dataclass(frozen=True, kw_only=True)
class ScoreConfig:
    """How the teacher is asked about the pool.

    Attributes:
        views: random views of each picture.
        replay: show the student these views again, with these answers, instead of asking the teacher about every batch.
    """

    views: int = 2
    replay: bool = False


@dataclass(frozen=True, kw_only=True)
class MineConfig:
    """What is taken of the pool.

    Attributes:
        per_class: most pictures of each class, by the teacher.
        min_confidence: of the teacher in that class.
    """

    per_class: int = 1000
    min_confidence: float = 0.0


@dataclass(frozen=True, kw_only=True)
class FixResConfig:
    """The classifier at another size.

    Attributes:
        size: pixels on a side.
        recipe: what differs from the recipe `fixres`.
    """

    size: int
    recipe: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class EmbeddedConfig:
    """What is taken where no data are given.

    Attributes:
        name: of `resnexus.distillation.embedded.EMBEDDED`.
        settings: of the configuration that are others then, such as networks and sizes for small pictures.
    """

    name: str
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name not in EMBEDDED:
            raise unknown("embedded data set", self.name, EMBEDDED)


@dataclass(frozen=True, kw_only=True)
class Config:
    """A whole run.

    Attributes:
        name: of the configuration.
        about: what it is, in a sentence or two.
        embedded: what is taken where no data are given; None for nothing.
        labelled: labelled pictures, as `open_dataset` takes them; None for those of `embedded`.
        pool: pictures without labels; empty for those of `embedded`.
        rows: networks of your own, which `student` and the teacher's `model` may name.
        student: name of the student's network.
        teacher: the teacher.
        seeds: trainings of baseline and student.
        images: how images are prepared in every step: settings of a recipe.
        score: how the teacher is asked about the pool.
        dedupe: leave out near-duplicates of labelled pictures.
        mine: what is taken of the pool.
        loss: of both stages, one of `resnexus.distillation.objectives.OBJECTIVES`.
        stage1: what differs from the recipe `distil`.
        stage2: what differs from the recipe `distil-finetune`; None for no second stage.
        baseline: what differs from the student's first stage but for labels in place of a teacher, and epochs that make
            as many steps as all of the student's.
        fixres: the classifier at another size; None to leave that out.

    Raises:
        ResnexusError: a name, a setting or a number that is not accepted.
    """

    name: str = "run"
    about: str = ""
    embedded: EmbeddedConfig | None = None
    labelled: str | None = None
    pool: tuple[str, ...] = ()
    rows: tuple[Architecture, ...] = ()
    student: str = "Res2Net_small"
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    seeds: int = 3
    images: dict[str, Any] = field(default_factory=dict)
    score: ScoreConfig = field(default_factory=ScoreConfig)
    dedupe: bool = True
    mine: MineConfig = field(default_factory=MineConfig)
    loss: str = "kl"
    stage1: dict[str, Any] = field(default_factory=dict)
    stage2: dict[str, Any] | None = field(default_factory=dict)
    baseline: dict[str, Any] = field(default_factory=dict)
    fixres: FixResConfig | None = None

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise ResnexusError(f"seeds={self.seeds}: expected at least 1")
        self.row(self.student)
        if self.teacher.given is None:
            self.row(self.teacher.model)
        # What is wrong with a recipe is told before the first step.
        self.teacher_recipe()
        self.baseline_recipe(0, self.stage1_recipe(0).epochs)
        self.stage2_recipe(0)
        self.fixres_recipe(0)

    def changed(
        self,
        *,
        labelled: str | None = None,
        pool: tuple[str, ...] = (),
        teacher: str | None = None,
        student: str | None = None,
        seeds: int | None = None,
    ) -> Config:
        """Return the configuration for the data that it is run on, with what a command line says.

        What is None or empty stays; where no labelled pictures are named, the settings for embedded data hold.

        Raises:
            ResnexusError: labelled pictures without a pool, or the other way round.
        """
        if (labelled is None) != (not pool):
            raise ResnexusError("labelled pictures and a pool belong together: give both (--labelled, --pool)")
        found = self
        if labelled is not None:
            found = replace(found, labelled=labelled, pool=pool, embedded=None)
        elif self.embedded is not None and self.labelled is None:
            content = asdict(self) | self.embedded.settings | {"embedded": {"name": self.embedded.name}}
            found = from_plain(Config, content, where=f"{self.name}, embedded")
        if teacher is not None:
            found = replace(found, teacher=replace(found.teacher, given=teacher))
        if student is not None:
            found = replace(found, student=student)
        return found if seeds is None else replace(found, seeds=seeds)

    def row(self, name: str) -> Architecture:
        """Return a network by its name, of `rows` or of the catalogue."""
        return next((row for row in self.rows if row.name == name), None) or architecture(name)

    def teacher_recipe(self) -> Recipe:
        """Return how the teacher is trained."""
        return objective("distil", "labels", changes=self.images | self.teacher.recipe)

    def stage1_recipe(self, seed: int) -> Recipe:
        """Return how the student is trained on the pool."""
        return objective("distil", self.loss, changes=self.images | self.stage1 | {"seed": seed})

    def stage2_recipe(self, seed: int) -> Recipe:
        """Return how the student is trained on labelled pictures."""
        return objective("distil-finetune", self.loss, changes=self.images | (self.stage2 or {}) | {"seed": seed})

    def fixres_recipe(self, seed: int) -> Recipe:
        """Return how the classifier is trained."""
        changes = {} if self.fixres is None else self.fixres.recipe
        return objective("fixres", changes=self.images | changes | {"seed": seed})

    def baseline_recipe(self, seed: int, epochs: int) -> Recipe:
        """Return how the baseline is trained, for so many epochs."""
        changes = self.images | self.stage1 | self.baseline | {"seed": seed, "epochs": epochs}
        return objective("distil", "labels", changes=changes)


def configs() -> list[str]:
    """Return the names of the configurations that ship, sorted."""
    folder = files("resnexus.distillation") / _FOLDER
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def config_text(name_or_file: str | os.PathLike[str]) -> str:
    """Return the YAML of a configuration.

    Raises:
        ResnexusError: there is none of that name, or the file cannot be read.
    """
    text = os.fspath(name_or_file)
    if text.endswith((".yaml", ".yml")) or os.sep in text:
        try:
            return Path(text).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise ResnexusError(f"cannot read the configuration {printable(text)}: {reason}") from error
    if text not in configs():
        raise unknown("configuration", text, configs())
    return (files("resnexus.distillation") / _FOLDER / f"{text}.yaml").read_text(encoding="utf-8")


def find_config(name_or_file: str | os.PathLike[str]) -> Config:
    """Return a configuration that ships, by name, or one of your own from a YAML file.

    Raises:
        ResnexusError: no such configuration or file, an unknown setting, or a value that it does not take.
    """
    where = printable(name_or_file)
    try:
        content = yaml.safe_load(config_text(name_or_file)) or {}
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        if isinstance(error, ResnexusError):
            raise
        reason = str(getattr(error, "problem", None) or error).partition("\n")[0]
        raise ResnexusError(f"{where} is not YAML: {reason}") from error
    if not isinstance(content, dict):
        raise ResnexusError(f"{where}: expected settings and their values, found {type(content).__name__}")
    return from_plain(Config, {"name": Path(os.fspath(name_or_file)).stem} | content, where)
