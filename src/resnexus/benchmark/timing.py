"""Honest latency: warmed up, synchronised, repeated, interleaved, and summed up with its spread."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from resnexus.acceleration.planning.timing import interleaved


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Repeated latencies of one callable.

    Attributes:
        median_ms: milliseconds per call.
        p10_ms: the tenth percentile.
        p90_ms: the ninetieth percentile.
        repeats: how many calls were timed.
    """

    median_ms: float
    p10_ms: float
    p90_ms: float
    repeats: int


def measure(
    calls: Mapping[str, Callable[[], object]],
    *,
    rounds: int = 5,
    repeats: int = 3,
    warmup: int = 2,
    synchronise: Callable[[], object] | None = None,
    on_round: Callable[[], object] | None = None,
) -> dict[str, Timing]:
    """Time several callables against each other, in interleaved rounds, each after one untimed call per turn.

    Args:
        calls: name -> what to time.
        rounds: rounds over all callables.
        repeats: timed calls of each in a round.
        warmup: untimed calls of each before the first round.
        synchronise: waits for the device, e.g. `torch.cuda.synchronize`; None on a CPU.
        on_round: called after every round, for a progress bar.

    Raises:
        ResnexusError: nothing to time, or counts that are not positive.
    """
    with torch.inference_mode():
        times = interleaved(
            calls,
            rounds=rounds,
            repeats=repeats,
            warmup=warmup,
            settle=0.0,
            synchronise=synchronise,
            on_round=on_round,
        )
    return {name: summary(milliseconds) for name, milliseconds in times.items()}


def summary(milliseconds: Sequence[float]) -> Timing:
    """Sum up the latencies of one callable."""
    p10, median, p90 = np.percentile(np.array(milliseconds), (10, 50, 90))
    return Timing(median_ms=float(median), p10_ms=float(p10), p90_ms=float(p90), repeats=len(milliseconds))
