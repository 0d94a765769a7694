"""Train, evaluate, count and time networks on one data set, and report."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import torch

from resnexus.architectures.catalog import architecture
from resnexus.architectures.complexity import complexity
from resnexus.architectures.siblings import SIBLINGS
from resnexus.architectures.spec import Architecture
from resnexus.benchmark.bench import BenchSettings
from resnexus.benchmark.cell import Cell
from resnexus.benchmark.engines import engine
from resnexus.benchmark.environment import environment
from resnexus.benchmark.run import run
from resnexus.comparison.runs import Training, finished, train, trained_network
from resnexus.comparison.series import IMAGE_SIZE, QUICK, benched_series, line_name, published_series, time_series
from resnexus.data.augment import Augment
from resnexus.data.datasets import EMBEDDED, Splits, open_dataset
from resnexus.data.preprocess import Preprocess
from resnexus.errors import ResnexusError, unknown
from resnexus.files import write_text
from resnexus.progress import Advance, Progress, Silent
from resnexus.report.document import write_report
from resnexus.report.record import Comparison, Run, TrainedNetwork
from resnexus.training.settings import Settings

SeriesMode = Literal["quick", "full", "none"]

DEFAULT_MODELS = ("ResNet50_vd", "ResNeXt50_32x4d", "SE_ResNet50_vd", "SE_ResNeXt50_32x4d", "Res2Net50_26w_4s")
"""What is compared on photographs if no networks are named: one of each kind, at 50 layers."""

ENGINE = "eager"
"""What latencies are those of: PyTorch as it is, as in the columns of that name of `resnexus bench`."""

_EMBEDDED_AUGMENT = Augment(crop_area=None, flip=0.0, shift=1)


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How latency is measured.

    Attributes:
        precisions: of `"fp32"`, `"bf16"`, `"fp16"`.
        batch_sizes: images per call.
        device: `"cpu"` or `"cuda"`.
        rounds: in how many rounds the networks take turns; each has one timed call in a round.
    """

    precisions: tuple[str, ...] = ("fp32", "bf16")
    batch_sizes: tuple[int, ...] = (1, 4, 8)
    device: str = "cpu"
    rounds: int = 15

    def __post_init__(self) -> None:
        settings = self.settings(image_size=1, together=1)
        settings.check_here()
        for precision in settings.precisions:
            obstacle = engine(ENGINE).obstacle("", self.device, precision)
            if obstacle:
                raise ResnexusError(f"cannot time in {precision}: engine {ENGINE!r} {obstacle}")

    def settings(self, image_size: int, together: int) -> BenchSettings:
        """Return what `benchmark.run` is asked for, for images of some pixels on a side and networks in turns."""
        return BenchSettings(
            devices=(self.device,),
            precisions=self.precisions,
            batch_sizes=self.batch_sizes,
            engines=(ENGINE,),
            image_size=image_size,
            rounds=self.rounds,
            settle_s=0.0,  # all is PyTorch, on the same threads
            together=together,
        )


def compare(
    data: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str],
    models: Sequence[str | Architecture] | None = None,
    weights: str | None = None,
    image_size: int = 224,
    seeds: int = 3,
    settings: Settings | None = None,
    timing: Timing | None = None,
    series: SeriesMode | Path = "quick",
    progress: Progress | None = None,
) -> Comparison:
    """Compare networks on a data set and write the report to `out / "index.html"`.

    Every network is trained with the same settings, once per seed, and evaluated on the validation images after the
    last epoch. A training that `out` already holds, under the same conditions, is not done again.

    Args:
        data: a folder with train/CLASS/ and val/CLASS/, or the name of an embedded data set (`"digits"`).
        out: folder of the report; trained weights and records are kept in it too.
        models: names or rows. By default the small siblings for embedded data, one network of each kind for a folder.
        weights: tag of the published weights to start from; None trains from random weights.
        image_size: pixels on a side for a folder's images; embedded data have their own.
        seeds: trainings per network.
        settings: of the training; the defaults of `Settings` if None.
        timing: how latency is measured; the defaults of `Timing` if None.
        series: time a few networks of the series (`"quick"`), all (`"full"`), or leave that part out (`"none"`); or
            take their latencies from the record of a benchmark on this machine (its `bench.json`).
        progress: where to report; nowhere if None.

    Raises:
        ResnexusError: a name, a value, the data or the folder cannot be used; the message says what can.
    """
    settings, timing = settings or Settings(), timing or Timing()
    progress = Silent() if progress is None else progress
    if not isinstance(series, Path) and series not in get_args(SeriesMode):
        raise unknown("series mode", series, get_args(SeriesMode))
    benched = benched_series(series) if isinstance(series, Path) else ()
    if seeds < 1:
        raise ResnexusError(f"seeds={seeds}: expected at least 1")
    out = Path(out)
    rows = _rows(data, models)
    jobs = [
        Training(row=row, weights=weights, seed=seed, data=splits, augment=augment, settings=settings)
        for seed in range(seeds)
        for splits, augment in [_open(data, image_size, seed)]
        for row in rows
    ]
    write_text("", out / ".writable")  # say so now if the folder cannot be written, not after hours of training
    (out / ".writable").unlink()

    runs = _train_all(jobs, out, progress)
    first = jobs[: len(rows)]
    comparison = Comparison(
        data=first[0].data.name,
        classes=len(first[0].data.classes),
        train_images=len(first[0].data.train),
        val_images=len(first[0].data.val),
        settings=_settings(first[0], seeds),
        environment=environment(),
        networks=tuple(_trained(job, [run for other, run in runs if other.row == job.row]) for job in first),
        latency=_time_trained(first, out, timing, progress),
        series=() if series == "none" else published_series(),
        series_latency=benched or (() if series == "none" else _time_series(timing, series == "quick", progress)),
        quick=series == "quick",
    )
    with progress.stage("writing the report", 1) as step:
        write_report(comparison, out)
        step()
    return comparison


def _rows(data: str | os.PathLike[str], models: Sequence[str | Architecture] | None) -> list[Architecture]:
    if models is None:
        models = list(SIBLINGS.values()) if data in EMBEDDED else DEFAULT_MODELS
    rows = [architecture(model) for model in models]
    names = [row.name for row in rows]
    if not rows:
        raise ResnexusError("no networks to compare: name at least one")
    for name in names:
        if names.count(name) > 1:
            raise ResnexusError(f"network {name!r} is named {names.count(name)} times: name each once")
    return rows


def _open(data: str | os.PathLike[str], image_size: int, seed: int) -> tuple[Splits, Augment]:
    if data in EMBEDDED:
        return open_dataset(data, augment=_EMBEDDED_AUGMENT, seed=seed), _EMBEDDED_AUGMENT
    # The published ratio of the short side to the crop: 256 to 224.
    preprocess = Preprocess(size=image_size, resize_short=round(image_size * 256 / 224))
    return open_dataset(data, preprocess, Augment(), seed=seed), Augment()


def _train_all(jobs: list[Training], out: Path, progress: Progress) -> list[tuple[Training, Run]]:
    runs = []
    for number, job in enumerate(jobs, start=1):
        run = finished(job, out)
        if run is None:
            label = f"training {job.row.name}, seed {job.seed} ({number} of {len(jobs)})"
            with progress.stage(label, job.settings.epochs) as step:
                run = train(job, out, on_epoch=step)
        else:
            progress.say(f"{job.row.name}, seed {job.seed}: finished before, kept")
        for skipped in run.skipped:
            progress.say(f"skipped in evaluation: {skipped}")
        runs.append((job, run))
    return runs


def _time_trained(jobs: list[Training], out: Path, timing: Timing, progress: Progress) -> tuple[Cell, ...]:
    networks = {job.row.name: trained_network(job, out) for job in jobs}
    settings = timing.settings(jobs[0].data.preprocess.size, together=len(networks))
    title = "timing the trained networks"
    *_, record = run(networks, settings, with_peaks=False, title=title, progress=_Stages(progress))
    return tuple(replace(cell, rounds_ms=()) for cell in record.cells)


def _time_series(timing: Timing, quick: bool, progress: Progress) -> tuple[Cell, ...]:
    settings = timing.settings(IMAGE_SIZE, together=len(QUICK))
    if quick:
        settings = replace(settings, rounds=min(3, settings.rounds))
    title = f"timing the series at {IMAGE_SIZE}x{IMAGE_SIZE}" + (", quick mode" if quick else "")
    return time_series(settings, quick=quick, title=title, progress=_Stages(progress))


@dataclass(frozen=True)
class _Stages:
    """Reports the stages of a benchmark and drops its lines: which engine opens is no news where there is one."""

    progress: Progress

    def stage(self, description: str, total: int) -> AbstractContextManager[Advance]:
        return self.progress.stage(description, total)

    def say(self, message: str) -> None:
        pass


def _trained(job: Training, runs: list[Run]) -> TrainedNetwork:
    preprocess = job.data.preprocess
    cost = complexity(job.row, preprocess.size, num_classes=len(job.data.classes), in_chans=preprocess.in_chans)
    return TrainedNetwork(
        name=job.row.name,
        family=job.row.family,
        line=line_name(job.row.name),
        image_size=preprocess.size,
        gflops=cost.gflops,
        mparams=cost.mparams,
        runs=tuple(runs),
    )


def _settings(job: Training, seeds: int) -> dict[str, str | int | float | bool | None]:
    augment = job.augment
    shown = {"crop": augment.crop_area is not None, "flip": augment.flip, "shift": augment.shift}
    return {
        **job.settings.to_dict(),
        "learning_rate": job.settings.initial_learning_rate,
        "optimiser": "SGD",
        "schedule": "cosine to 0, per step",
        "weights": job.weights or "random",
        "seeds": seeds,
        **{f"augment_{name}": value for name, value in shown.items()},
        "torch": torch.__version__,
    }
