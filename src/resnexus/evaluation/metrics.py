"""Figures of merit of logits, and what several seeds say about a mean and a difference."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from resnexus.errors import ResnexusError

CONFIDENCE = 0.95

_ROUNDING = 1e-12  # of a difference of two fractions in float64, over the larger


def top_k_correct(logits: Tensor, labels: Tensor, k: int) -> Tensor:
    """Return (N,) bool: whether each label is among the k largest logits.

    Of equal logits the lower class counts as the larger one, on every device. `k` above the number of classes means
    all classes.

    Args:
        logits: (N, classes), any floating-point dtype.
        labels: (N,) int64.
        k: at least 1.

    Raises:
        ResnexusError: shapes that do not fit, or k below 1.
    """
    check_shapes(logits, labels)
    if k < 1:
        raise ResnexusError(f"k={k}: expected at least 1")
    labels = labels[:, None]
    own = logits.gather(1, labels)
    classes = torch.arange(logits.shape[1], device=logits.device)
    ahead = (logits > own) | ((logits == own) & (classes < labels))
    return ahead.sum(1) < k


def predicted(logits: Tensor) -> Tensor:
    """Return (N,) int64: the class of the largest logit, of equal ones the lowest; (N, classes) logits.

    Raises:
        ResnexusError: another shape.
    """
    if logits.ndim != 2 or not logits.shape[1]:
        raise ResnexusError(f"logits of {tuple(logits.shape)}: expected (N, classes)")
    return logits.argmax(1)


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A mean over runs that differ in their seed, and how sure it is.

    Attributes:
        mean: of the runs.
        std: sample standard deviation (n - 1); None for a single run.
        half_width: the true mean lies within mean -+ half_width in 95 % of such experiments, if the runs are
            normally distributed (Student's t); None for a single run.
        count: runs.
    """

    mean: float
    std: float | None
    half_width: float | None
    count: int


def spread(values: Sequence[float]) -> Spread:
    """Summarise one figure over several seeds.

    Raises:
        ResnexusError: no value, or one that is not finite.
    """
    _check_finite(values)
    if len(values) == 1:
        return Spread(mean=float(values[0]), std=None, half_width=None, count=1)
    std = statistics.stdev(values)
    half_width = student_quantile(CONFIDENCE, len(values) - 1) * std / math.sqrt(len(values))
    return Spread(mean=statistics.fmean(values), std=std, half_width=half_width, count=len(values))


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """How two models differ over the same seeds.

    If all differences are equal but for rounding, these seeds do not tell their spread: p is 1 and no difference is
    claimed.

    Attributes:
        mean: of first - second.
        half_width: of the 95 % interval of the mean (Student's t).
        p_value: probability of a mean at least as far from 0 if the models do not differ (paired t-test, two-sided);
            not corrected for how many pairs of models are looked at.
        count: seeds.
    """

    mean: float
    half_width: float
    p_value: float
    count: int

    @property
    def differs(self) -> bool:
        """Whether the interval leaves out 0, so that a difference may be claimed."""
        return abs(self.mean) > self.half_width > 0


def paired_interval(first: Sequence[float], second: Sequence[float]) -> PairedDifference:
    """Compare a figure of two models, seed by seed, which removes what the seeds have in common.

    Args:
        first: one value per seed.
        second: the other model's value for the same seeds, in the same order.

    Raises:
        ResnexusError: the lengths differ, there are fewer than two seeds, or a value is not finite.
    """
    if len(first) != len(second) or len(first) < 2:
        raise ResnexusError(
            f"{len(first)} and {len(second)} values: a paired comparison needs the same seeds, at least 2"
        )
    _check_finite(first)
    _check_finite(second)
    differences = [a - b for a, b in zip(first, second, strict=True)]
    found = spread(differences)
    std = found.std or 0.0
    if std <= _ROUNDING * max(map(abs, (*first, *second))):
        std = 0.0
    error = std / math.sqrt(found.count)
    freedom = found.count - 1
    p_value = 1 - student_probability(abs(found.mean) / error, freedom) if error else 1.0
    half_width = student_quantile(CONFIDENCE, freedom) * error
    return PairedDifference(mean=found.mean, half_width=half_width, p_value=p_value, count=found.count)


def student_probability(t: float, freedom: int) -> float:
    """P(|T| <= t) of Student's t, t >= 0: the finite series of Abramowitz and Stegun 26.7.3 and 26.7.4."""
    angle = math.atan2(t, math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term, total = cosine if odd else 1.0, 0.0
    for step in range(1 + odd, freedom, 2):
        total += term
        term *= cosine * cosine * step / (step + 1)
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


def student_quantile(probability: float, freedom: int) -> float:
    """The t with P(|T| <= t) = probability, by bisection to the last bit.

    Args:
        probability: 0 <= probability < 1.
        freedom: degrees of freedom, at least 1.
    """
    low, high = 0.0, 1.0
    while student_probability(high, freedom) < probability:
        high *= 2
    while (middle := (low + high) / 2) not in (low, high):
        if student_probability(middle, freedom) < probability:
            low = middle
        else:
            high = middle
    return high


def check_shapes(logits: Tensor, labels: Tensor) -> None:
    """Refuse logits and labels that are not (N, classes) and (N,)."""
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ResnexusError(
            f"logits of {tuple(logits.shape)} with labels of {tuple(labels.shape)}: expected (N, classes) and (N,)"
        )


def check_some(values: Tensor) -> None:
    """Refuse values of no image at all."""
    if not len(values):
        raise ResnexusError("no image: a mean needs at least one")


def _check_finite(values: Sequence[float]) -> None:
    if not len(values) or not all(math.isfinite(value) for value in values):
        raise ResnexusError(f"{list(values)}: expected at least one value, all finite")
