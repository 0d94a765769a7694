"""Train, evaluate, count and time networks on one data set, and report."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

import torch

from resnexus.architectures.catalog import CATALOG
from resnexus.architectures.spec import Architecture
from resnexus.benchmark.bench import usual_precisions
from resnexus.benchmark.cell import Cell
from resnexus.benchmark.environment import environment
from resnexus.comparison.best import BEST, keep_best, keep_examples
from resnexus.comparison.checks import check_images, check_packages, check_weights, cost
from resnexus.comparison.each import each_run
from resnexus.comparison.folder import claimed_for_report
from resnexus.comparison.interruptions import stoppable
from resnexus.comparison.jobs import Training, trainings
from resnexus.comparison.kept import finished, trained_network
from resnexus.comparison.processes import at_a_time
from resnexus.comparison.runs import train
from resnexus.comparison.series import IMAGE_SIZE, QUICK, benched_series, line_name, published_series
from resnexus.comparison.settings import Settings
from resnexus.comparison.stopwatch import Timing, timed
from resnexus.data.datasets import EMBEDDED
from resnexus.errors import printable, unknown
from resnexus.models import starting_weights
from resnexus.progress import Progress, Silent
from resnexus.report.document import write_report
from resnexus.report.record import Comparison, Run, TrainedNetwork
from resnexus.training.hardware import hardware

SeriesMode = Literal["quick", "full", "none"]


def compare(
    data: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str],
    models: Sequence[str | Architecture] | None = None,
    weights: str | os.PathLike[str] | None = None,
    image_size: int | None = None,
    seeds: int = 3,
    settings: Settings | None = None,
    timing: Timing | None = None,
    series: SeriesMode | Path = "quick",
    processes: int | None = 1,
    progress: Progress | None = None,
) -> Comparison:
    """Compare networks on a data set and write the report to `out / "index.html"`.

    Every network is trained with the same settings, once per seed, and evaluated on the validation images after the
    last epoch. A training that `out` already holds, under the same conditions, is not done again; trainings under
    other conditions stay beside it. What can be found wrong before the first training is found then.

    Beside the page lie `best.safetensors`, the weights of the network with the highest mean top-1 from its first seed,
    and of embedded data `examples/`, one validation image of every class.

    Args:
        data: a folder with train/CLASS/ and val/CLASS/, or the name of an embedded data set (`"digits"`).
        out: folder of the report; trained weights and records are kept in it too.
        models: names or rows. By default the small siblings for embedded data, one network of each kind for a folder.
        weights: tag of the published weights to start from, or a file that fits every network that is compared; None,
            or `"random"`, trains from random weights.
        image_size: pixels on a side for a folder's images, 224 if None; embedded data have their own.
        seeds: trainings per network.
        settings: of the training; the defaults of `Settings` if None.
        timing: how latency is measured; the defaults of `Timing` if None.
        series: time a few networks of the series (`"quick"`), all (`"full"`), or leave that part out (`"none"`); or
            take their latencies from the record of a benchmark on this machine (its `bench.json`).
        processes: trainings at a time, each in a process of its own with one thread; 1 trains one after the other in
            this process, with all threads. None is as many as PyTorch has threads, at most 8, for embedded data on
            the CPU, and else 1. Processes import the program's main module again: guard what it does by
            `if __name__ == "__main__":`.
        progress: where to report; nowhere if None.

    Raises:
        ResnexusError: a name, a value, the data or the folder cannot be used; the message says what can.
        KeyboardInterrupt: with a note that says which training goes on later, and from where.
        Stopped: SIGTERM came; the same call goes on.
    """
    settings, timing = settings or Settings(), timing or Timing()
    progress = Silent() if progress is None else progress
    if not isinstance(series, Path) and series not in get_args(SeriesMode):
        raise unknown("series mode", series, get_args(SeriesMode))
    benched = benched_series(series) if isinstance(series, Path) else ()
    processes = at_a_time(processes, embedded=data in EMBEDDED)
    jobs = trainings(
        data,
        models=models,
        weights=starting_weights(weights),
        image_size=image_size,
        seeds=seeds,
        settings=settings,
        progress=progress,
    )
    out = Path(out)
    check_packages()
    for job in jobs:
        cost(job)
    check_images(jobs[0])
    splits = jobs[0].data.splits
    with claimed_for_report(out, progress), stoppable(out):
        check_weights(jobs, out)
        for remark in splits.remarks:
            progress.say(remark)
        _say_what_is_not_timed(timing, progress)
        runs = _train_all(jobs, out, processes, progress)
        first = [job for job in jobs if job.seed == jobs[0].seed]
        comparison = Comparison(
            data=splits.name,
            classes=len(splits.classes),
            chance=jobs[0].data.chance,
            train_images=len(splits.train),
            val_images=len(splits.val),
            split=splits.split,
            ignored=tuple(map(printable, splits.ignored)),
            settings=_settings(jobs[0], seeds, processes),
            environment=environment(),
            networks=tuple(_trained(job, [run for other, run in runs if other.row == job.row]) for job in first),
            latency=_time_trained(first, out, timing, progress),
            series=() if series == "none" else published_series(),
            series_latency=benched or (() if series == "none" else _time_series(timing, series == "quick", progress)),
            quick=series == "quick",
        )
        with progress.stage("writing the report", 1) as step:
            best = keep_best(comparison.networks, jobs, out)
            keep_examples(splits.val, out)
            write_report(comparison, out)
            step()
        progress.say(f"{best.name} has the highest mean top-1; {printable(out / BEST)} is what its first seed learned")
    return comparison


def _train_all(jobs: list[Training], out: Path, processes: int, progress: Progress) -> list[tuple[Training, Run]]:
    runs, said = [], set[str]()
    for job, run in each_run(jobs, out, progress, finished=finished, train=train, processes=processes):
        skipped = [f"skipped in training: {entry}" for entry in run.skipped_in_training]
        skipped += [f"skipped in evaluation: {entry}" for entry in run.skipped]
        for sentence in skipped:
            if sentence not in said:
                progress.say(sentence)
        said.update(skipped)
        runs.append((job, run))
    return runs


def _say_what_is_not_timed(timing: Timing, progress: Progress) -> None:
    if not timing.precisions and usual_precisions(timing.device) == ("fp32",):
        progress.say(
            "latency is timed in fp32 alone: PyTorch has no kernels in bf16 for this processor; name both precisions "
            "to time it all the same"
        )


def _time_trained(jobs: list[Training], out: Path, timing: Timing, progress: Progress) -> tuple[Cell, ...]:
    networks = {job.row.name: trained_network(job, out) for job in jobs}
    settings = timing.settings(jobs[0].data.splits.preprocess.size, together=len(networks))
    return timed(networks, settings, title="timing the trained networks", progress=progress)


def _time_series(timing: Timing, quick: bool, progress: Progress) -> tuple[Cell, ...]:
    settings = timing.settings(IMAGE_SIZE, together=len(QUICK))
    if quick:
        settings = replace(settings, rounds=min(3, settings.rounds))
    # With weights from a formula: the values of weights do not change the time.
    title = f"timing the series at {IMAGE_SIZE}x{IMAGE_SIZE}" + (", quick mode" if quick else "")
    return timed(QUICK if quick else tuple(CATALOG), settings, title=title, progress=progress)


def _trained(job: Training, runs: list[Run]) -> TrainedNetwork:
    found = cost(job)
    return TrainedNetwork(
        name=job.row.name,
        family=job.row.family,
        line=line_name(job.row.name),
        image_size=job.data.splits.preprocess.size,
        gflops=found.gflops,
        mparams=found.mparams,
        runs=tuple(runs),
    )


def _settings(job: Training, seeds: int, processes: int) -> dict[str, str | int | float | bool | None]:
    augment = job.data.augment
    shown = {"crop": augment.crop_area is not None, "flip": augment.flip, "shift": augment.shift}
    return {
        **job.settings.to_dict(),
        "learning_rate": job.settings.initial_learning_rate,
        "optimiser": "SGD",
        "schedule": "cosine to 0, per step",
        "weights": "random" if job.weights is None else printable(os.fspath(job.weights)),
        "precision": hardware().precision,
        "seeds": seeds,
        "trainings_at_a_time": processes,
        **{f"augment_{name}": value for name, value in shown.items()},
        "torch": torch.__version__,
    }
