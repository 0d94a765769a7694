"""Train and evaluate segmenters or detectors on the small siblings or on networks of the series, and report."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import torch

from resnexus.architectures.complexity import complexity
from resnexus.architectures.spec import Architecture
from resnexus.benchmark.environment import environment
from resnexus.comparison.checks import check_packages
from resnexus.comparison.dense.jobs import DenseTraining, dense_trainings, finished
from resnexus.comparison.dense.runs import train
from resnexus.comparison.dense.settings import DenseSettings, defaults
from resnexus.comparison.dense.showing import examples
from resnexus.comparison.dense.sources import DIGITS, Source, open_source
from resnexus.comparison.each import each_run
from resnexus.comparison.folder import claimed_for_report
from resnexus.comparison.interruptions import stoppable
from resnexus.comparison.processes import at_a_time
from resnexus.data.photographs.photographs import Task
from resnexus.errors import ResnexusError, printable, unknown
from resnexus.models import starting_weights
from resnexus.packages import installed_version
from resnexus.progress import Progress, Silent
from resnexus.report.dense.page import write_dense_report
from resnexus.report.dense.record import DenseComparison, DenseRun, DenseTrained
from resnexus.training.hardware import hardware

HEADS = {
    "segmentation": "pyramid on every stage, levels added up (Panoptic FPN's semantic branch)",
    "detection": "torchvision's FCOS, pyramid on every stage",
}
PACKAGES: dict[str, tuple[str, ...]] = {
    "segmentation": ("torchmetrics",),
    "detection": ("torchmetrics", "pycocotools"),
}
_OF_DIGITS = "sklearn"


def compare_dense(
    task: Task,
    data: str | os.PathLike[str] = DIGITS,
    *,
    out: str | os.PathLike[str],
    models: Sequence[str | Architecture] | None = None,
    weights: str | os.PathLike[str] | None = None,
    image_size: int | None = None,
    seeds: int = 3,
    settings: DenseSettings | None = None,
    processes: int | None = 1,
    progress: Progress | None = None,
) -> DenseComparison:
    """Compare backbones in a task and write the report to `out / "index.html"`.

    Every network has the same pyramid and head, is trained with the same settings, once per seed, and is evaluated on
    the same images: canvases of digits, whose glyphs none was trained on, or the photographs in a folder's part `val`.
    A training that `out` already holds, under the same conditions, is not done again; one that was interrupted goes on
    after its last whole epoch.

    Args:
        task: `"segmentation"`, measured in mIoU, or `"detection"`, in mAP.
        data: `"digits"`; or `"coco:FOLDER"` or `"voc:FOLDER"`, as `open_coco` and `open_voc` take the folder.
        out: folder of the report; records are kept in it too.
        models: names or rows. For digits small siblings, all if None; for photographs networks of `resnexus list`, one
            of each kind if None.
        weights: of the backbones for photographs, a tag of the published ones or a file that fits every network; then
            normalisations are not trained, nor the stem, nor, without `stage_lr`, the first stage. None, or
            `"random"`, starts from random weights.
        image_size: pixels on a side that photographs are brought to, a multiple of 32; 320 if None.
        seeds: trainings per network.
        settings: of the training; the task's defaults if None. Photographs are counted, whatever it says.
        processes: trainings at a time, each in a process of its own with one thread; 1 trains one after the other in
            this process, with all threads. None is as many as PyTorch has threads, at most 8, for canvases of digits on
            the CPU, and else 1. Processes import the program's main module again: guard what it does by
            `if __name__ == "__main__":`.
        progress: where to report; nowhere if None.

    Raises:
        ResnexusError: a name, a value, the data or the folder cannot be used, or a package is missing.
        KeyboardInterrupt: with a note that says which training goes on later.
        Stopped: SIGTERM came; the same call goes on.
    """
    if task not in get_args(Task):
        raise unknown("task", task, get_args(Task))
    progress = Silent() if progress is None else progress
    weights = starting_weights(weights)
    settings = settings or defaults(task, digits=data == DIGITS)
    processes = at_a_time(processes, embedded=data == DIGITS)
    if task == "detection" and settings.output_stride is not None:
        raise ResnexusError(f"output_stride={settings.output_stride} has no effect on detection: leave it out")
    check_packages()
    for package in PACKAGES[task] + ((_OF_DIGITS,) if data == DIGITS else ()):
        installed_version(package)
    source = open_source(data, task, settings, image_size=image_size, weights=weights)
    settings = replace(settings, train_images=len(source.train(0)), val_images=len(source.val()))
    jobs = dense_trainings(task, models=models, seeds=seeds, settings=settings, source=source)
    if weights is not None:
        for job in jobs[: len(jobs) // seeds]:
            job.network()  # which fetches the weights and finds what does not fit, before the first training
    out = Path(out)
    with claimed_for_report(out, progress), stoppable(out):
        runs = list(each_run(jobs, out, progress, finished=finished, train=train, processes=processes))
        first = [job for job in jobs if job.seed == jobs[0].seed]
        comparison = DenseComparison(
            task=task,
            data=source.name,
            classes=source.classes,
            train_images=settings.train_images,
            val_images=settings.val_images,
            image_size=source.form.size,
            settings=_settings(task, settings, seeds, processes, source),
            environment=environment(),
            examples=examples(source, task),
            networks=tuple(_trained(job, [run for other, run in runs if other.row == job.row]) for job in first),
        )
        with progress.stage("writing the report", 1) as step:
            write_dense_report(comparison, out)
            step()
    return comparison


def _trained(job: DenseTraining, runs: list[DenseRun]) -> DenseTrained:
    form = job.source.form
    cost = complexity(job.row, form.size, num_classes=0, in_chans=form.in_chans, output_stride=form.output_stride)
    return DenseTrained(
        name=job.row.name, family=job.row.family, gflops=cost.gflops, mparams=cost.mparams, runs=tuple(runs)
    )


def _settings(task: Task, settings: DenseSettings, seeds: int, processes: int, source: Source) -> dict[str, Any]:
    weights = source.form.weights
    return {
        **settings.to_dict(),
        "stage_lr": ", ".join(map(str, settings.stage_lr)) or "1 everywhere",
        "optimiser": "AdamW",
        "schedule": "cosine to 0, per step",
        "weights": "random" if isinstance(weights, bool) else printable(os.fspath(weights)),
        "head": HEADS[task],
        "pyramid_channels": source.form.width,
        "device": hardware().device,
        "seeds": seeds,
        "trainings_at_a_time": processes,
        "torch": torch.__version__,
    }
