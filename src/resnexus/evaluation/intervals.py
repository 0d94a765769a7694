"""How sure a share is that was counted on a sample of images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from resnexus.errors import ResnexusError
from resnexus.evaluation.metrics import CONFIDENCE


@dataclass(frozen=True, kw_only=True)
class Share:
    """A counted share and its 95 % interval.

    Attributes:
        right: images that count.
        images: of so many.
        value: right / images.
        low: lower end of Wilson's interval.
        high: upper end.
    """

    right: int
    images: int
    value: float
    low: float
    high: float

    def __post_init__(self) -> None:
        _check(self.right, self.images)
        if not 0 <= self.low <= self.value <= self.high <= 1:
            raise ResnexusError(f"low={self.low}, value={self.value}, high={self.high}: expected 0 to 1, in this order")


def share(right: int, images: int) -> Share:
    """Return a counted share with Wilson's score interval.

    The interval holds the share that endless images of this kind would give in about 95 % of such samples, also for
    few images and for shares near 0 and 1. Wilson 1927, Journal of the American Statistical Association 22, 209.

    Args:
        right: images that count, 0 to `images`.
        images: at least 1.

    Raises:
        ResnexusError: the numbers are outside what is stated above.
    """
    _check(right, images)
    value, z = right / images, NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    scale = 1 + z * z / images
    centre = (value + z * z / (2 * images)) / scale
    half = z / scale * math.sqrt(value * (1 - value) / images + z * z / (4 * images * images))
    # At 0 and 1 the ends meet the share itself, which rounding would miss.
    low = min(max(0.0, centre - half), value) if right else 0.0
    high = max(min(1.0, centre + half), value) if right < images else 1.0
    return Share(right=right, images=images, value=value, low=low, high=high)


def _check(right: int, images: int) -> None:
    if images < 1 or not 0 <= right <= images:
        raise ResnexusError(f"right={right}, images={images}: expected 0 <= right <= images, and at least one image")
