"""Weather: fog, snow, glare. Frost is missing: the authors lay photographs of it over the picture."""

from __future__ import annotations

from typing import Any

import numpy as np

from resnexus.evaluation.corruptions.colour import luma, with_value
from resnexus.evaluation.corruptions.smoothing import enlarged, streaked

Array = np.ndarray[Any, np.dtype[Any]]


def fog(pixels: Array, thickness: float, decay: float, random: np.random.Generator) -> Array:
    """Add a cloud, a plasma fractal whose detail shrinks by `decay`, and keep the brightest value as it is."""
    height, width = pixels.shape[:2]
    side = 1 << (max(height, width, 2) - 1).bit_length()
    brightest = pixels.max()
    cloud = plasma(side, decay, random)[:height, :width, None]
    found: Array = (pixels + thickness * cloud) * brightest / (brightest + thickness)
    return found


def snow(
    pixels: Array,
    mean: float,
    spread: float,
    size: float,
    threshold: float,
    radius: int,
    sigma: float,
    kept: float,
    random: np.random.Generator,
) -> Array:
    """Add falling flakes, and the same turned round, to a picture that is brighter and greyer."""
    flakes = enlarged(random.normal(mean, spread, size=(*pixels.shape[:2], 1)), size)
    flakes[flakes < threshold] = 0
    flakes = streaked(flakes.clip(0, 1), radius, sigma, random.uniform(-135, -45))
    white = kept * pixels + (1 - kept) * np.maximum(pixels, luma(pixels) * 1.5 + 0.5)
    found: Array = white + flakes + np.flip(flakes, (0, 1))
    return found


def brightness(pixels: Array, added: float, random: np.random.Generator) -> Array:
    """Add to the value of HSV, which keeps hue and saturation."""
    return with_value(pixels, (pixels.max(axis=2, keepdims=True) + added).clip(0, 1))


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
