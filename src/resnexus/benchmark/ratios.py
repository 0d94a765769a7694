"""How much faster: ratios of times that were taken side by side, with a confidence interval."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import comb, exp, log
from statistics import median

from resnexus.benchmark.cell import Cell
from resnexus.benchmark.engines import OURS
from resnexus.benchmark.ranges import positive, rising
from resnexus.errors import ResnexusError

CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """One time over another's.

    Attributes:
        median: of the ratios of all rounds.
        low: lower end of the interval.
        high: upper end.
        confidence: that the interval holds the median of all rounds there could be; at least 0.95 from six rounds.
    """

    median: float
    low: float
    high: float
    confidence: float

    def __post_init__(self) -> None:
        positive(low=self.low, median=self.median, high=self.high)
        rising(low=self.low, median=self.median, high=self.high)
        if not 0 <= self.confidence <= 1:
            raise ResnexusError(f"confidence={self.confidence}: expected 0 to 1")


def ratio_of(cell: Cell, reference: Cell) -> Ratio:
    """Divide two cells round by round.

    The interval lies between two order statistics, so it holds whatever the distribution; its confidence follows
    from how often a coin shows heads (the sign test).

    Raises:
        ResnexusError: the cells were not timed together.
    """
    together = [(entry.model, entry.device, entry.batch_size, len(entry.rounds_ms)) for entry in (cell, reference)]
    if together[0] != together[1] or not cell.rounds_ms:
        raise ResnexusError(f"cannot divide times that were not taken side by side: {together[0]}, {together[1]}")
    return ratio_of_times(cell.rounds_ms, reference.rounds_ms)


def ratio_of_times(times: Sequence[float], reference: Sequence[float]) -> Ratio:
    """Divide times call by call, as `ratio_of` does; both hold as many, at least one."""
    values = sorted(own / other for own, other in zip(times, reference, strict=True))
    cut, confidence = _cut(len(values))
    return Ratio(median=median(values), low=values[cut], high=values[-1 - cut], confidence=confidence)


def _cut(count: int) -> tuple[int, float]:
    """Return how many values to leave out at either end, and the confidence that is left."""

    def confidence(cut: int) -> float:
        return 1 - 2 * sum(comb(count, index) for index in range(cut + 1)) / 2**count

    cut = 0
    while confidence(cut + 1) >= CONFIDENCE:
        cut += 1
    return cut, max(confidence(cut), 0.0)


def best_peer(cells: Iterable[Cell], like: Cell, precision: str) -> Cell | None:
    """Return the fastest engine that is not ours, for the network, device and batch size of `like`, or None."""
    place = (like.model, like.device, like.batch_size)
    peers = [
        cell
        for cell in cells
        if (cell.model, cell.device, cell.batch_size) == place and cell.precision == precision and cell.engine != OURS
    ]
    return min(peers, key=lambda cell: cell.median_ms, default=None)


def geometric_mean(values: Sequence[float]) -> float:
    """Return the geometric mean of at least one positive number."""
    return exp(sum(map(log, values)) / len(values))
