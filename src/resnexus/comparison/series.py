"""The published page beside what is counted and timed here."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from pathlib import Path

from resnexus.architectures.catalog import BASELINES, architecture
from resnexus.architectures.complexity import complexity
from resnexus.benchmark.bench import Bench
from resnexus.benchmark.cell import Cell
from resnexus.benchmark.engines import OURS
from resnexus.benchmark.environment import environment
from resnexus.errors import ResnexusError
from resnexus.records import read_json
from resnexus.report.record import SeriesNetwork, WrongCell
from resnexus.series.checkpoints import checkpoints
from resnexus.series.errata import errata
from resnexus.series.published import Published, published

QUICK = (
    "ResNet50_vd",
    "ResNeXt50_32x4d",
    "ResNeXt50_vd_32x4d",
    "SE_ResNet50_vd",
    "SE_ResNeXt50_32x4d",
    "Res2Net50_26w_4s",
    "Res2Net50_14w_8s",
)
"""The networks that the quick mode times: one of each kind, at 50 layers."""

IMAGE_SIZE = 224


def line_name(name: str) -> str:
    """Return the name without its number of layers: networks of one line differ in depth alone."""
    return re.sub(r"(Net|NeXt)\d+", r"\1", name)


def published_series() -> tuple[SeriesNetwork, ...]:
    """Return the 27 checkpoints and the 4 baselines, published figures beside counted ones."""
    rows = [(record.name, record.architecture, record.published) for record in checkpoints().values()]
    rows += [(row.name, row.name, published(row.name)) for row in BASELINES]
    return tuple(_series_network(*row) for row in rows)


def benched_series(path: Path) -> tuple[Cell, ...]:
    """Return the latencies of a benchmark's record: those of plain PyTorch and those of our engine.

    Raises:
        ResnexusError: no such record, one of another machine or other versions, or one without such latencies.
    """
    record = read_json(Bench, path)
    here = environment()
    there = replace(record.environment, date=here.date, threads=here.threads)
    if there != here:
        raise ResnexusError(f"{path} was measured on another machine or with other versions: run resnexus bench here")
    settings = record.settings
    if settings.out_indices or settings.output_stride is not None:
        raise ResnexusError(f"{path} is of feature maps or another output stride: expected one of logits")
    wanted = [cell for cell in record.cells if cell.engine in ("eager", OURS) and cell.image_size == IMAGE_SIZE]
    if not wanted:
        raise ResnexusError(f"{path} has no latencies of 'eager' or {OURS!r} at {IMAGE_SIZE}x{IMAGE_SIZE} pixels")
    return tuple(replace(cell, rounds_ms=()) for cell in wanted)


def _series_network(name: str, row_name: str, figures: Published) -> SeriesNetwork:
    row = architecture(row_name)
    cost = complexity(row)
    # The latencies of a distilled checkpoint were not published.
    printed = {figures.gflops, figures.mparams, figures.v100_ms, *figures.t4_ms.values()}
    return SeriesNetwork(
        name=name,
        architecture=row_name,
        family=row.family,
        line=line_name(name),
        top1=figures.top1,
        top5=figures.top5,
        reference_top1=figures.reference_top1,
        reference_top5=figures.reference_top5,
        published_gflops=figures.gflops,
        published_mparams=figures.mparams,
        gflops=cost.gflops,
        mparams=cost.mparams,
        v100_ms=figures.v100_ms,
        t4_ms=figures.t4_ms,
        errata=tuple(WrongCell(**asdict(erratum)) for erratum in errata(row_name) if erratum.published in printed),
    )
