"""Gaussian smoothing of any width, with the borders that the corruptions ask for."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Literal

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Border = Literal["clamp", "mirror"]


def smoothed(pixels: Array, sigma: float, border: Border = "clamp", truncate: float = 4.0) -> Array:
    """Blur (H, W) or (H, W, C) along both axes.

    Args:
        pixels: float64.
        sigma: standard deviation in pixels.
        border: `"clamp"` repeats the last pixel, `"mirror"` the picture, last pixel first.
        truncate: standard deviations after which the weights are 0.
    """
    rows, columns = (_weights(length, sigma, border, truncate) for length in pixels.shape[:2])
    return np.einsum("ih,hw...,jw->ij...", rows, pixels, columns, optimize=True)


@lru_cache(maxsize=16)
def _weights(length: int, sigma: float, border: Border, truncate: float) -> Array:
    """Return (length, length): how much of every pixel of a line goes into every other one, borders folded in."""
    radius = int(truncate * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    kernel /= kernel.sum()
    places = np.arange(length)[:, None] + offsets
    if border == "clamp":
        places = places.clip(0, length - 1)
    else:
        places = places % (2 * length)
        places = np.minimum(places, 2 * length - 1 - places)
    weights = np.zeros((length, length))
    np.add.at(weights, (np.arange(length)[:, None], places), kernel)
    return weights


def streaked(pixels: Array, radius: int, sigma: float, angle: float) -> Array:
    """Blur (H, W, C) along a line to one side, as ImageMagick's motion blur does, with clamped borders.

    Args:
        pixels: float64.
        radius: of the line; it is 2 x radius + 1 pixels long.
        sigma: standard deviation of the weights along it.
        angle: of the line, in degrees.
    """
    height, width = pixels.shape[:2]
    weights = np.exp(-0.5 * (np.arange(2 * radius + 1) / sigma) ** 2)
    weights /= weights.sum()
    down, right = math.sin(math.radians(angle)), math.cos(math.radians(angle))
    blurred = np.zeros_like(pixels)
    for step, weight in enumerate(weights):
        rows = (np.arange(height) + math.ceil(step * down - 0.5)).clip(0, height - 1)
        columns = (np.arange(width) + math.ceil(step * right - 0.5)).clip(0, width - 1)
        blurred += weight * pixels[rows[:, None], columns]
    return blurred


def enlarged(pixels: Array, factor: float) -> Array:
    """Enlarge the middle of (H, W, C) to the whole, bilinearly; `factor` is at least 1."""
    rows, columns = (_zoom(length, factor) for length in pixels.shape[:2])
    return np.einsum("ih,hwc,jw->ijc", rows, pixels, columns, optimize=True)


@lru_cache(maxsize=64)
def _zoom(length: int, factor: float) -> Array:
    """Return (length, length): how much of every pixel of a line goes into every pixel of its enlarged middle."""
    kept = math.ceil(length / factor)
    places = (length - kept) // 2 + np.linspace(0, kept - 1, length)
    weights: Array = (1 - np.abs(places[:, None] - np.arange(length))).clip(0)
    return weights


def sampled(pixels: Array, y: Array, x: Array) -> Array:
    """Read (H, W, C) at places between the pixels, bilinearly, with clamped borders; `y` and `x` are (H', W')."""
    height, width = pixels.shape[:2]
    y, x = y.clip(0, height - 1), x.clip(0, width - 1)
    top, left = np.floor(y).astype(np.int64), np.floor(x).astype(np.int64)
    bottom, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    below, beyond = (y - top)[..., None], (x - left)[..., None]
    upper = pixels[top, left] * (1 - beyond) + pixels[top, right] * beyond
    lower = pixels[bottom, left] * (1 - beyond) + pixels[bottom, right] * beyond
    found: Array = upper * (1 - below) + lower * below
    return found
