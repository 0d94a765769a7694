"""Interleaved timing: every candidate runs once a round, so that a drifting machine hits all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import TypeVar

Key = TypeVar("Key")

WARM_UP = 2
LEAST_ROUNDS = 5


def interleaved(calls: Mapping[Key, Callable[[], object]], seconds: float) -> dict[Key, list[float]]:
    """Time several calls in rounds, each once a round, in an order that turns from round to round.

    Args:
        calls: what to time; each returns when its work is done.
        seconds: stop after the round in which this much time has passed, but not before five rounds.

    Returns:
        Milliseconds per call and round.
    """
    for call in calls.values():
        for _ in range(WARM_UP):
            call()
    times: dict[Key, list[float]] = {key: [] for key in calls}
    order = list(calls)
    end = time.perf_counter() + seconds
    rounds = 0
    while order and (rounds < LEAST_ROUNDS or time.perf_counter() < end):
        for key in order:
            start = time.perf_counter()
            calls[key]()
            times[key].append((time.perf_counter() - start) * 1e3)
        order.append(order.pop(0))
        rounds += 1
    return times


def ratio(times: list[float], reference: list[float]) -> float:
    """Return the median over the rounds of one call's time over another's in the same round."""
    return median(own / other for own, other in zip(times, reference, strict=True))
