"""A cloud of any detail: the plasma fractal."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


def cloud(height: int, width: int, decay: float, random: np.random.Generator) -> Array:
    """Return (height, width) in 0..1, the corner of a plasma fractal; `decay` is as for `plasma`."""
    side = 1 << (max(height, width, 2) - 1).bit_length()
    found: Array = plasma(side, decay, random)[:height, :width]
    return found


def plasma(side: int, decay: float, random: np.random.Generator) -> Array:
    """Return (side, side) in 0..1: the diamond-square fractal on a torus.

    Args:
        side: a power of 2.
        decay: by its square the random part shrinks with every halving of the step.
        random: draws it.
    """
    heights = np.zeros((side, side))
    step, wobble = side, 100.0

    def mean(corners: Array) -> Array:
        found: Array = corners / 4 + wobble**2 * random.uniform(-1, 1, corners.shape)
        return found

    while step >= 2:
        half = step // 2
        corners = heights[::step, ::step]
        squares = corners + np.roll(corners, -1, axis=0)
        squares += np.roll(squares, -1, axis=1)
        heights[half::step, half::step] = mean(squares)
        middles = heights[half::step, half::step]
        across = middles + np.roll(middles, 1, axis=0)
        heights[::step, half::step] = mean(across + corners + np.roll(corners, -1, axis=1))
        along = middles + np.roll(middles, 1, axis=1)
        heights[half::step, ::step] = mean(along + corners + np.roll(corners, -1, axis=0))
        step, wobble = half, wobble / decay
    heights -= heights.min()
    found: Array = heights / heights.max()
    return found
