"""How long a batch takes in float32, bfloat16 and int8, all in turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor

from resnexus.acceleration.planning.timing import interleaved
from resnexus.benchmark.bench import usual_precisions
from resnexus.benchmark.cell import Cell
from resnexus.errors import ResnexusError
from resnexus.progress import Progress
from resnexus.quantisation.forms.contract import Array
from resnexus.quantisation.settings import QuantisationSettings

Runs = Mapping[str, Callable[[Array], object]]
"""Precision -> what runs a batch in it."""


def runs(
    fp32: Callable[[Array], object], half: Callable[[], Callable[[Array], object]], int8: Callable[[Array], object]
) -> tuple[Runs, tuple[str, ...]]:
    """Return what can be timed here, and in sentences what cannot.

    Args:
        fp32: the artefact in float32.
        half: opens the network in bfloat16; asked where the processor has kernels for it.
        int8: the artefact in int8.
    """
    found: dict[str, Callable[[Array], object]] = {"fp32": fp32}
    missing = []
    if "bf16" not in usual_precisions("cpu"):
        missing.append("bf16 was not timed: PyTorch has no kernels for it on this processor.")
    else:
        try:
            found["bf16"] = half()
        except ResnexusError as error:
            missing.append(f"bf16 was not timed: {error}.")
    return found | {"int8": int8}, tuple(missing)


def timed(
    runs: Runs, images: Tensor, model: str, engine: str, settings: QuantisationSettings, progress: Progress
) -> tuple[Cell, ...]:
    """Time everything in turns, at every batch size of the settings.

    Every library takes the threads that it takes by itself.

    Args:
        runs: what is timed.
        images: (K, C, H, W) float32; a batch is made of the first, repeated where there are too few.
        model: name of the network.
        engine: what runs it.
        settings: batch sizes, rounds, untimed calls.
        progress: told of every round.
    """
    cells: list[Cell] = []
    with progress.stage("timing", settings.rounds * len(settings.latency_batches)) as step:
        for size in settings.latency_batches:
            batch = _batch(images, size)
            times = interleaved(
                {precision: partial(run, batch) for precision, run in runs.items()},
                rounds=settings.rounds,
                settle=settings.settle_s,
                on_round=step,
            )
            cells += [_cell(model, engine, precision, batch, found) for precision, found in times.items()]
    return tuple(cells)


def _batch(images: Tensor, size: int) -> Array:
    return images[torch.arange(size) % len(images)].contiguous().numpy()


def _cell(model: str, engine: str, precision: str, batch: Array, milliseconds: list[float]) -> Cell:
    p10, median, p90 = np.percentile(milliseconds, (10, 50, 90)).tolist()
    return Cell(
        model=model,
        device="cpu",
        precision=precision,
        batch_size=len(batch),
        engine=engine,
        image_size=batch.shape[-1],
        median_ms=median,
        p10_ms=p10,
        p90_ms=p90,
        repeats=len(milliseconds),
        rounds_ms=tuple(milliseconds),
    )
