"""Train and evaluate segmenters or detectors on the small siblings, and report."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import torch

from resnexus.architectures.complexity import complexity
from resnexus.architectures.spec import Architecture
from resnexus.benchmark.environment import environment
from resnexus.comparison.checks import check_packages
from resnexus.comparison.dense.jobs import DenseTraining, dense_trainings, finished
from resnexus.comparison.dense.networks import PYRAMID, Task
from resnexus.comparison.dense.runs import examples, train
from resnexus.comparison.dense.settings import DEFAULTS, DenseSettings
from resnexus.comparison.folder import claimed_for_report
from resnexus.comparison.interruptions import each_run
from resnexus.data.canvases import SIZE
from resnexus.errors import unknown
from resnexus.packages import installed_version
from resnexus.progress import Progress, Silent
from resnexus.report.dense.page import write_dense_report
from resnexus.report.dense.record import DenseComparison, DenseRun, DenseTrained
from resnexus.training.hardware import hardware

HEADS = {
    "segmentation": "pyramid of strides 4 to 16, levels added up (Panoptic FPN's semantic branch)",
    "detection": "torchvision's FCOS, pyramid of strides 4 to 16",
}
PACKAGES: dict[str, tuple[str, ...]] = {
    "segmentation": ("torchmetrics", "sklearn"),
    "detection": ("torchmetrics", "pycocotools", "sklearn"),
}


def compare_dense(
    task: Task,
    *,
    out: str | os.PathLike[str],
    models: Sequence[str | Architecture] | None = None,
    seeds: int = 3,
    settings: DenseSettings | None = None,
    progress: Progress | None = None,
) -> DenseComparison:
    """Compare backbones in a task on canvases of digits and write the report to `out / "index.html"`.

    Every network has the same pyramid and head, is trained from random weights with the same settings, once per seed,
    and is evaluated on the same canvases, whose glyphs none was trained on. A training that `out` already holds, under
    the same conditions, is not done again; one that was interrupted goes on after its last whole epoch.

    Args:
        task: `"segmentation"`, measured in mIoU, or `"detection"`, in mAP.
        out: folder of the report; records are kept in it too.
        models: names of small siblings, or rows of your own; all siblings if None.
        seeds: trainings per network.
        settings: of the training; the task's defaults if None.
        progress: where to report; nowhere if None.

    Raises:
        ResnexusError: a name, a value or the folder cannot be used, or a package is missing.
        KeyboardInterrupt: with a note that says which training goes on later.
    """
    if task not in get_args(Task):
        raise unknown("task", task, get_args(Task))
    progress = Silent() if progress is None else progress
    settings = settings or DEFAULTS[task]
    check_packages()
    for package in PACKAGES[task]:
        installed_version(package)
    jobs = dense_trainings(task, models=models, seeds=seeds, settings=settings)
    out = Path(out)
    with claimed_for_report(out, progress):
        runs = list(each_run(jobs, out, progress, finished=finished, train=train))
        first = [job for job in jobs if job.seed == jobs[0].seed]
        comparison = DenseComparison(
            task=task,
            train_images=settings.train_canvases,
            val_images=settings.val_canvases,
            image_size=SIZE,
            settings=_settings(task, settings, seeds),
            environment=environment(),
            examples=examples(jobs[0]),
            networks=tuple(_trained(job, [run for other, run in runs if other.row == job.row]) for job in first),
        )
        with progress.stage("writing the report", 1) as step:
            write_dense_report(comparison, out)
            step()
    return comparison


def _trained(job: DenseTraining, runs: list[DenseRun]) -> DenseTrained:
    cost = complexity(job.row, SIZE, num_classes=0, in_chans=1)
    return DenseTrained(
        name=job.row.name, family=job.row.family, gflops=cost.gflops, mparams=cost.mparams, runs=tuple(runs)
    )


def _settings(task: Task, settings: DenseSettings, seeds: int) -> dict[str, Any]:
    return {
        **settings.to_dict(),
        "optimiser": "AdamW",
        "schedule": "cosine to 0, per step",
        "weights": "random",
        "head": HEADS[task],
        "pyramid_channels": PYRAMID,
        "device": hardware().device,
        "seeds": seeds,
        "torch": torch.__version__,
    }
