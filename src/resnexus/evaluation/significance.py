"""Whether two networks differ, by the images on which only one of them is right."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from torch import Tensor

from resnexus.errors import ResnexusError
from resnexus.evaluation.metrics import CONFIDENCE


@dataclass(frozen=True, kw_only=True)
class PairedAnswers:
    """Two networks on the same images.

    Attributes:
        images: how many.
        both: images on which both are right.
        first_only: on which the first alone is.
        second_only: on which the second alone is.
        difference: top-1 of the first minus that of the second, a fraction.
        half_width: of the 95 % interval of the difference, by the normal approximation for pairs.
        p_value: probability of counts at least as uneven if both are equally often right: the exact McNemar test,
            two-sided.
    """

    images: int
    both: int
    first_only: int
    second_only: int
    difference: float
    half_width: float
    p_value: float

    def __post_init__(self) -> None:
        counts = (self.both, self.first_only, self.second_only)
        if min(counts) < 0 or sum(counts) > self.images:
            raise ResnexusError(f"both, first_only, second_only={counts} of images={self.images}: they do not fit")
        if not 0 <= self.p_value <= 1:
            raise ResnexusError(f"p_value={self.p_value}: expected 0 to 1")


def mcnemar(first: Tensor, second: Tensor) -> PairedAnswers:
    """Compare two networks, image by image.

    Only the images on which the answers differ tell something: if the networks are equally good, each of those goes to
    either with probability 1/2. McNemar 1947, Psychometrika 12, 153; the exact binomial form.

    Args:
        first: (N,) bool: whether the first network is right.
        second: (N,) bool: the same of the second, for the same images in the same order.

    Raises:
        ResnexusError: the lengths differ, or there is no image.
    """
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise ResnexusError(
            f"answers of shape {tuple(first.shape)} and {tuple(second.shape)}: expected the same images, at least 1"
        )
    images = len(first)
    both, won, lost = (int(found.sum()) for found in (first & second, first & ~second, ~first & second))
    difference = (won - lost) / images
    variance = max(0.0, (won + lost) / images - difference**2) / images
    return PairedAnswers(
        images=images,
        both=both,
        first_only=won,
        second_only=lost,
        difference=difference,
        half_width=NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * math.sqrt(variance),
        p_value=sign_test(won, lost),
    )


def sign_test(won: int, lost: int) -> float:
    """Return the probability that fair coins fall at least as unevenly, two-sided; exact, in whole numbers."""
    tosses, rarer = won + lost, min(won, lost)
    term = total = 1
    for heads in range(1, rarer + 1):
        term = term * (tosses - heads + 1) // heads
        total += term
    return min(1.0, 2 * total / 2**tosses)
