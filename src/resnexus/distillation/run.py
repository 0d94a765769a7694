"""The job of `resnexus distill run`: from two folders to a student, a baseline, and the page that compares them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from resnexus.architectures.complexity import complexity
from resnexus.benchmark.environment import environment
from resnexus.claim import claimed
from resnexus.comparison.interruptions import stoppable
from resnexus.data.fingerprint import fingerprint
from resnexus.distillation.configs import Config
from resnexus.distillation.embedded import EMBEDDED, write_embedded
from resnexus.distillation.fixres import evaluated
from resnexus.distillation.materials import device_of, open_labelled
from resnexus.distillation.pictures import Listed, summary
from resnexus.distillation.picturing import shown
from resnexus.distillation.pooling import mined_pool
from resnexus.distillation.steps import Left, Steps
from resnexus.distillation.students import LARGER, Student, students
from resnexus.errors import ResnexusError, printable
from resnexus.evaluation.evaluate import evaluate
from resnexus.files import check_writable, replacing
from resnexus.packages import installed_version
from resnexus.progress import Progress, Silent
from resnexus.report.distillation_page import GENERATOR, write_distillation
from resnexus.report.distillation_record import BASELINE, DistillationRun, SeedResult, Stage, TeacherResult
from resnexus.report.document import is_report
from resnexus.teachers import open_teacher
from resnexus.trainer import train_on
from resnexus.training.hardware import placed
from resnexus.training.preparation import preparation
from resnexus.weights.checkpoint_file import sha256
from resnexus.weights.pretrained import names_file

_PACKAGES = ("lightning", "jinja2")
_TITLES = {
    BASELINE: ("Baseline", "labels alone, as many steps"),
    "stage1": ("Student, first stage", "the teacher's answers on the pool"),
    "stage2": ("Student, second stage", "the teacher's answers on the labelled pictures"),
    "larger": ("Student at {size} pixels", "the same weights"),
    "fixres": ("Student at {size} pixels, classifier trained", "the classifier alone, by labels"),
}
"""Stage -> its title and what was done."""


def run_all(
    config: Config,
    *,
    out: str | os.PathLike[str],
    device: str = "auto",
    progress: Progress | None = None,
) -> DistillationRun:
    """Do all steps of a run, or what is left of them, and write the page.

    Teacher, scores, near-duplicates and mining are done once; baseline and student once for each seed. All accuracies
    are on the labelled pictures to evaluate on, of the weights after the last step.

    Args:
        config: of the run.
        out: folder of the run: `index.html`, `run.json`, `tables/`, `student.safetensors` (of the first seed, at the
            size of its training), `larger.safetensors` (at the size of `fixres`, where that is done), and a folder for
            each step in `steps/`.
        device: as `resnexus.devices.device_word` takes it: `"auto"`, `"cpu"`, `"gpu"`, `"cuda:1"`.
        progress: where to report; nowhere if None.

    Raises:
        ResnexusError: what is wrong with the configuration, the data, a step or the folder; names it.
        Stopped: SIGTERM came; the same call goes on.
    """
    out, progress = Path(out), progress or Silent()
    placed(device, 1)
    for package in (*_PACKAGES, *(("imagehash",) if config.dedupe else ())):
        installed_version(package)
    page = out / "index.html"
    if page.exists() and not is_report(page, GENERATOR):
        raise ResnexusError(f"{printable(page)} is no page of ours and is not overwritten: choose another folder")
    check_writable(out)
    with claimed(out, busy="another process runs in"), stoppable(out):
        run = _Run(config, out, device, progress)
        record = run.record()
        for name, weights in (("student", run.weights), ("larger", run.larger)):
            if weights:
                with replacing(out / f"{name}.safetensors") as temporary:
                    temporary.write_bytes(weights[0].read_bytes())
        write_distillation(record, out)
    return record


class _Run:
    """One run, step by step."""

    def __init__(self, config: Config, out: Path, device: str, progress: Progress) -> None:
        self.config, self.out, self.progress = config, out, progress
        self.running: Any = {"device": device, "progress": progress}
        self.steps = Steps(out, progress)
        self.weights: list[Path] = []
        self.larger: list[Path] = []
        self.name = ""
        self.labelled, self.pool, self.all = self._data()
        self.splits = open_labelled(self.labelled, *preparation(config.stage1_recipe(0)), 0, Silent())
        self.teacher, self.taught = self._teacher()

    def record(self) -> DistillationRun:
        """Do what is left, and return what was found."""
        config, steps = self.config, self.steps
        pool = mined_pool(config, steps, self.pool, self.teacher, self.labelled, self.running)
        found = students(
            Student(
                config=config,
                steps=steps,
                pool=pool,
                teacher=self.teacher,
                labelled=self.labelled,
                running=self.running,
                labelled_pictures=len(self.splits.train),
            )
        )
        self.weights, self.larger = found.weights, found.larger
        row, size = config.row(config.student), self.splits.preprocess.size
        cost = complexity(row, size, num_classes=len(self.splits.classes), in_chans=self.splits.preprocess.in_chans)
        mined, dropped = shown(pool)
        return DistillationRun(
            config=config.name,
            data=self.name,
            classes=len(self.splits.classes),
            labelled=len(self.splits.train),
            val=len(self.splits.val),
            pool=pool.counts,
            teacher=self.taught,
            student=row.name,
            gflops=cost.gflops,
            mparams=cost.mparams,
            stages=tuple(self._stage(name, results) for name, results in found.results.items()),
            mined=mined,
            dropped=dropped,
            weights=self._places(),
            settings=self._settings(),
            seconds={name: step.seconds for name, step in steps.done.items()},
            environment=environment(),
        )

    def _data(self) -> tuple[str, tuple[str, ...], str | None]:
        """Return the labelled pictures, the pool, and where the pool has labels, or None."""
        config = self.config
        if config.labelled is not None:
            if not config.pool:
                raise ResnexusError("pool=(): pictures without labels are needed; name them (--pool)")
            splits = open_labelled(config.labelled, *preparation(config.stage1_recipe(0)), 0, self.progress)
            depends = {part: fingerprint(images) for part, images in (("train", splits.train), ("val", splits.val))}
            depends["pool"] = summary(Listed(config.pool)).digest
            self.steps.step("data", depends, lambda _: Left())
            self.name = splits.name
            return config.labelled, config.pool, None
        if config.embedded is None:
            raise ResnexusError(
                f"configuration {config.name!r} has no data of its own: name labelled pictures and a pool (--labelled, "
                "--pool)"
            )
        folder, name = self.out / "data", config.embedded.name
        self.name = EMBEDDED[name].title

        def write(_: Path) -> Left:
            written = write_embedded(name, folder)
            return Left(figures={"digest": written.digest, "name": written.name})

        self.steps.step("data", {"embedded": name}, write)
        return str(folder / "labelled"), (str(folder / "pool"),), str(folder / "all")

    def _teacher(self) -> tuple[str, TeacherResult]:
        """Return the teacher's name or file, and what it is worth."""
        config = self.config.teacher
        name = config.given or config.model
        learned = "It was given, and not trained here."
        data = self.labelled
        if config.given is None:
            if config.trained_on == "all":
                if self.all is None:
                    raise ResnexusError(
                        "trained_on='all': a pool of your own has no labels; set trained_on=labelled, or give a teacher"
                    )
                data = self.all
            learned = {
                "labelled": "It was trained on the very labels that the baseline has, and no others.",
                "all": "It was trained on the labels of the pool, too, which student and baseline never see.",
            }[config.trained_on]
        splits, recipe = self.splits, self.config.teacher_recipe()

        def work(folder: Path) -> Left:
            if config.given is not None:
                return Left(figures=self._worth(config.given))
            images = open_labelled(data, *preparation(recipe), recipe.seed, self.progress)
            train_on(
                self.config.row(config.model),
                images.train,
                None,
                recipe,
                preprocess=images.preprocess,
                out=folder,
                label="training the teacher",
                **self.running,
            )
            path = folder / "last.safetensors"
            found = evaluated(path, self.labelled, self.running)
            return Left(files=(path,), figures={"top1": found.top1, "images": found.images})

        depends = {
            "given": config.given,
            "row": None if config.given else repr(self.config.row(config.model)),
            "trained_on": config.trained_on,
            "recipe": recipe.flat(),
            "images": len(splits.train),
            "weights": sha256(Path(config.given)) if config.given and names_file(config.given) else None,
        }
        done = self.steps.step("teacher", depends, work, "data")
        result = TeacherResult(
            name=printable(name), learned=learned, top1=done.figures["top1"], images=done.figures["images"]
        )
        return config.given or str(self.steps.file("teacher", "last.safetensors")), result

    def _worth(self, teacher: str) -> dict[str, Any]:
        """Evaluate a teacher that was given."""
        splits, here = self.splits, device_of(self.running)
        taught = open_teacher(teacher, splits.classes, splits.preprocess, self.progress)
        if taught.network is None:
            raise ResnexusError(f"teacher {printable(teacher)} cannot be asked")
        found = evaluate(taught.network.to(here), splits.val, device=here, progress=self.progress)
        return {"top1": found.top1, "images": found.images, "sha256": taught.sha256}

    def _stage(self, name: str, results: list[SeedResult]) -> Stage:
        (title, what), fixres = _TITLES[name], self.config.fixres
        size = fixres.size if fixres is not None and name in LARGER else self.splits.preprocess.size
        return Stage(name=name, title=title.format(size=size), what=what, size=size, results=tuple(results))

    def _places(self) -> dict[str, str]:
        """Return where the weights of every seed lie in the run's folder."""
        size = "" if self.config.fixres is None else f", {self.config.fixres.size} pixels"
        found = {str(seed): path for seed, path in enumerate(self.weights)}
        found |= {f"{seed}{size}": path for seed, path in enumerate(self.larger)}
        return {name: str(path.relative_to(self.out)) for name, path in found.items()}

    def _settings(self) -> dict[str, str | int | float | bool | None]:
        config = self.config
        stage1 = config.stage1_recipe(0)
        return {
            "about": config.about,
            "loss": config.loss,
            "label_weight": stage1.distil.label_weight,
            "teacher_asked": "kept answers" if config.score.replay else "about every batch",
            "views_scored": config.score.views,
            "near_duplicates_left_out": config.dedupe,
            "mined_per_class": config.mine.per_class,
            "least_confidence": config.mine.min_confidence,
            "epochs_stage1": stage1.epochs,
            "epochs_stage2": None if config.stage2 is None else config.stage2_recipe(0).epochs,
            "batch": stage1.global_batch_size,
            "learning_rate": stage1.scaled_lr,
            "weight_decay": stage1.optim.weight_decay,
            "mixup": stage1.target.mixup_alpha,
            "seeds": config.seeds,
        }
