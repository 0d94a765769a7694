"""A comparison with plausible figures: five siblings, three seeds, and the whole series."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from resnexus.architectures.catalog import BASELINES, architecture
from resnexus.architectures.complexity import complexity
from resnexus.benchmark.cell import Cell
from resnexus.benchmark.environment import Environment
from resnexus.report import document, write_report
from resnexus.report.record import Comparison, Run, SeriesNetwork, TrainedNetwork, WrongCell
from resnexus.series.checkpoints import checkpoints
from resnexus.series.errata import errata
from resnexus.series.published import published

SIBLINGS = (
    # name, family, gflops, mparams, correct of 360 by seed, relative latency
    ("ResNet_small", "ResNet", 0.02741, 0.2701, (347, 349, 350), 1.0),
    ("ResNeXt_small_8x4d", "ResNeXt", 0.02683, 0.2412, (352, 353, 356), 1.9),
    ("SE_ResNet_small", "SENet", 0.02744, 0.2988, (351, 351, 355), 1.3),
    ("SE_ResNeXt_small_8x4d", "SENet", 0.02690, 0.2665, (354, 355, 357), 2.3),
    ("Res2Net_small_7w_4s", "Res2Net", 0.02802, 0.2553, (349, 347, 351), 2.1),
)


@pytest.fixture(scope="session", autouse=True)
def _drawn_once() -> Iterator[None]:
    """Draw a figure once for all tests: the same figure gives the same picture, which `test_drawing` tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("draw", "rasterise"):
            patch.setattr(document, name, cache(getattr(document, name)))
        yield


@pytest.fixture(scope="session")
def comparison() -> Comparison:
    """Everything that a quick comparison on two precisions leaves behind."""
    return build()


def build() -> Comparison:
    draw = random.Random(0)
    networks = tuple(
        TrainedNetwork(
            name=name,
            family=family,
            line=name,
            image_size=8,
            gflops=gflops,
            mparams=mparams,
            runs=tuple(_run(seed, correct) for seed, correct in enumerate(counts)),
        )
        for name, family, gflops, mparams, counts, _ in SIBLINGS
    )
    latency = tuple(
        _cell(draw, name, precision, batch, 8, factor * (0.7 + 0.16 * batch) * (1 if precision == "fp32" else 0.8))
        for name, *_, factor in SIBLINGS
        for precision in ("fp32", "bf16")
        for batch in (1, 4, 8)
    )
    series = (*map(_published_network, checkpoints()), *(_baseline(row.name) for row in BASELINES))
    timed = ("Res2Net50_26w_4s", "ResNeXt50_32x4d", "SE_ResNeXt50_32x4d", "ResNet50_vd", "ResNet101_vd")
    return Comparison(
        data="digits",
        classes=10,
        chance=37 / 360,
        train_images=1437,
        val_images=360,
        split="",
        ignored=(),
        settings={"epochs": 60, "batch_size": 64, "learning_rate": 0.1, "mixup": 0.2, "amp": False, "weights": None},
        environment=Environment(
            date="2025-06-01T12:00:00+00:00",
            cpu="Some Processor 9000 @ 2.60GHz",
            cores=2,
            threads=2,
            memory_gib=15.6,
            gpu=None,
            system="Linux 6.1",
            python="3.12.4",
            packages={"resnexus": "0.1.0", "torch": "2.14.1", "numpy": "2.3.0"},
        ),
        networks=networks,
        latency=latency,
        series=series,
        series_latency=tuple(
            _cell(draw, name, "fp32", batch, 224, 9.0 * complexity(name).gflops * batch**0.95)
            for name in timed
            for batch in (1, 4, 8)
        ),
        quick=True,
    )


def _run(seed: int, correct: int) -> Run:
    return Run(
        seed=seed,
        top1=correct / 360,
        top5=359 / 360,
        images=360,
        skipped=(),
        skipped_in_training=(),
        epochs=60,
        seconds=11.5 + seed / 3,
    )


def _cell(draw: random.Random, model: str, precision: str, batch: int, size: int, median: float) -> Cell:
    median *= draw.uniform(0.97, 1.03)
    return Cell(
        model=model,
        device="cpu",
        precision=precision,
        batch_size=batch,
        engine="eager",
        image_size=size,
        median_ms=median,
        p10_ms=median * draw.uniform(0.95, 0.99),
        p90_ms=median * draw.uniform(1.02, 1.2),
        repeats=15,
        agreement=None if precision == "fp32" else draw.uniform(0.001, 0.008),
    )


def _line(name: str) -> str:
    return re.sub(r"(Res2Net|ResNeXt|ResNet|SENet)\d+", r"\1", name)


def _published_network(name: str) -> SeriesNetwork:
    record = checkpoints()[name]
    return _network(name, record.architecture, record.published)


def _baseline(name: str) -> SeriesNetwork:
    return _network(name, name, published(name))


def _network(name: str, row: str, figures: object) -> SeriesNetwork:
    cost = complexity(row)
    wrong = [
        WrongCell(field=erratum.field, published=erratum.published, counted=erratum.counted, reason=erratum.reason)
        for erratum in errata(row)
        if name == row or erratum.field in ("gflops", "mparams")
    ]
    return SeriesNetwork(
        name=name,
        architecture=row,
        family=architecture(row).family,
        line=_line(row),
        top1=figures.top1,
        top5=figures.top5,
        reference_top1=figures.reference_top1,
        reference_top5=figures.reference_top5,
        published_gflops=figures.gflops,
        published_mparams=figures.mparams,
        gflops=cost.gflops,
        mparams=cost.mparams,
        v100_ms=figures.v100_ms,
        t4_ms=dict(figures.t4_ms),
        errata=tuple(wrong),
    )


@pytest.fixture(scope="session")
def report(comparison: Comparison, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the report on `comparison`."""
    pytest.importorskip("vl_convert", reason="figures need vl-convert")
    return write_report(comparison, tmp_path_factory.mktemp("report")).parent
