"""Interleaved timing: all take turns in every round, so that a machine that drifts hits all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Protocol, TypeVar, final

from resnexus.errors import ResnexusError

Key = TypeVar("Key")


class Clock(Protocol):
    """What time is read from and waited by."""

    def now(self) -> float:
        """Return seconds since some moment; they never run backwards."""
        ...

    def sleep(self, seconds: float) -> None:
        """Do nothing for some time."""
        ...


@final
class SystemClock:
    """The clock of this machine, as finely as it goes."""

    def now(self) -> float:
        """Return seconds since some moment."""
        return time.perf_counter()

    def sleep(self, seconds: float) -> None:
        """Let this thread sleep."""
        time.sleep(seconds)


SYSTEM_CLOCK = SystemClock()


def interleaved(
    calls: Mapping[Key, Callable[[], object]],
    *,
    rounds: int = 5,
    seconds: float = 0.0,
    repeats: int = 1,
    warmup: int = 2,
    settle: float | None = None,
    timed: Callable[[Callable[[], object]], float] | None = None,
    on_round: Callable[[], object] | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> dict[Key, list[float]]:
    """Time several calls against each other.

    Every round starts one call further on, so that none always follows the same neighbour.

    Args:
        calls: what to time; each returns when its work is done or, with `timed`, queued.
        rounds: how often each has its turn, at least.
        seconds: go on with further rounds until this much time has passed since the first.
        repeats: timed calls in a turn.
        warmup: untimed calls of each before the first round.
        settle: seconds of untimed calls at the beginning of a turn, at least one call; none if None. They bring back
            into the caches what the others drove out, and outlast the neighbour's threads, which go on waiting for
            work: for 80 ms after ONNX Runtime, for 200 ms after a library on Intel's OpenMP. A call that took longer
            than that in the round before is not repeated: the caches matter little to it, and a pause as long does.
        timed: returns the milliseconds of a call by itself, as a device tells them between two events; by the clock if
            None.
        on_round: called after every round, for a progress bar.
        clock: what times are read from; another one than the system's is for tests.

    Returns:
        Milliseconds of every timed call, in the order of the rounds.

    Raises:
        ResnexusError: nothing to time, or counts that are not positive.
    """
    if not calls or rounds < 1 or repeats < 1:
        raise ResnexusError(f"nothing to time: {len(calls)} callables, rounds={rounds}, repeats={repeats}")
    measure = timed or (lambda call: _timed(call, clock))
    for call in calls.values():
        for _ in range(warmup):
            call()
    times: dict[Key, list[float]] = {key: [] for key in calls}
    order = list(calls)
    end = clock.now() + seconds
    done = 0
    while done < rounds or clock.now() < end:
        for key in order:
            if settle is not None:
                _settle(calls[key], settle, times[key][-1] / 1e3 if times[key] else 0.0, clock)
            times[key] += [measure(calls[key]) for _ in range(repeats)]
        order.append(order.pop(0))
        done += 1
        if on_round is not None:
            on_round()
    return times


def _settle(call: Callable[[], object], seconds: float, latest: float, clock: Clock) -> None:
    if 0 < seconds < latest:
        clock.sleep(seconds)
        return
    end = clock.now() + seconds
    call()
    while clock.now() < end:
        call()


def _timed(call: Callable[[], object], clock: Clock) -> float:
    start = clock.now()
    call()
    return (clock.now() - start) * 1e3


def ratio(times: list[float], reference: list[float]) -> float:
    """Return the median over the rounds of one call's time over another's in the same round."""
    return median(own / other for own, other in zip(times, reference, strict=True))
