"""Honest latency: warmed up, synchronised, repeated, and interleaved so that a drifting machine hits all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from resnexus.errors import ResnexusError


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
    """Time several callables against each other, in interleaved rounds.

    Every round calls each of them `repeats` times in turn, after one untimed call that brings its data back into the
    caches, and starts one place further on, so that none always follows the same neighbour.

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
    if not calls or rounds < 1 or repeats < 1:
        raise ResnexusError(f"nothing to time: {len(calls)} callables, rounds={rounds}, repeats={repeats}")
    wait = synchronise or (lambda: None)
    names = list(calls)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    with torch.inference_mode():
        for name in names:
            for _ in range(warmup):
                calls[name]()
        for start in range(rounds):
            for name in _rotated(names, start):
                seconds[name] += _time(calls[name], repeats, wait)
            if on_round is not None:
                on_round()
    return {name: _summarise(values) for name, values in seconds.items()}


def _rotated(names: list[str], start: int) -> Iterator[str]:
    for index in range(len(names)):
        yield names[(start + index) % len(names)]


def _time(call: Callable[[], object], repeats: int, wait: Callable[[], object]) -> list[float]:
    call()
    found = []
    for _ in range(repeats):
        wait()
        before = time.perf_counter()
        call()
        wait()
        found.append(time.perf_counter() - before)
    return found


def _summarise(seconds: list[float]) -> Timing:
    p10, median, p90 = np.percentile(np.array(seconds) * 1e3, (10, 50, 90))
    return Timing(median_ms=float(median), p10_ms=float(p10), p90_ms=float(p90), repeats=len(seconds))
