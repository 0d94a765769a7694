"""Blur: of the lens, of frosted glass, of a moving camera."""

from __future__ import annotations

from typing import Any

import numpy as np

from resnexus.evaluation.corruptions.smoothing import enlarged, smoothed, streaked

Array = np.ndarray[Any, np.dtype[Any]]


def gaussian_blur(pixels: Array, sigma: float, random: np.random.Generator) -> Array:
    """Blur with a normal kernel of `sigma` pixels."""
    return smoothed(pixels, sigma)


def defocus_blur(pixels: Array, radius: int, edge: float, random: np.random.Generator) -> Array:
    """Spread every pixel over a disc of `radius` pixels whose edge is smoothed by `edge` pixels."""
    reach = max(8, radius)
    places = np.arange(-reach, reach + 1)
    disc = (places[:, None] ** 2 + places**2 <= radius**2).astype(np.float64)
    # The authors smooth with 3 x 3 pixels, or 5 x 5 for the larger discs.
    disc = smoothed(disc / disc.sum(), edge, truncate=(1 if radius <= 8 else 2) / edge)
    return _convolved(pixels, disc)


def glass_blur(pixels: Array, sigma: float, reach: int, rounds: int, random: np.random.Generator) -> Array:
    """Blur, move every pixel by up to `reach` pixels at random, `rounds` times, and blur again.

    The authors exchange pixels one after the other; here all of a round move at once.
    """
    found = smoothed(pixels, sigma)
    height, width = found.shape[:2]
    y, x = np.mgrid[:height, :width]
    for _ in range(rounds):
        down, right = random.integers(-reach, reach + 1, size=(2, height, width))
        found = found[(y + down).clip(0, height - 1), (x + right).clip(0, width - 1)]
    return smoothed(found.clip(0, 1), sigma)


def motion_blur(pixels: Array, radius: int, sigma: float, random: np.random.Generator) -> Array:
    """Blur along a line, between -45 and 45 degrees to the horizontal."""
    return streaked(pixels, radius, sigma, random.uniform(-45, 45))


def zoom_blur(pixels: Array, largest: float, step: float, random: np.random.Generator) -> Array:
    """Average the picture with enlargements of its middle, from 1 up to `largest` in steps of `step`."""
    factors = np.arange(1, largest, step)
    total = sum((enlarged(pixels, factor) for factor in factors), pixels)
    found: Array = total / (len(factors) + 1)
    return found


def _convolved(pixels: Array, kernel: Array) -> Array:
    """Convolve (H, W, C) with a symmetric square kernel of odd side; the picture is mirrored at its borders."""
    reach = len(kernel) // 2
    height, width = pixels.shape[:2]
    padded = np.pad(pixels, ((reach, reach), (reach, reach), (0, 0)), "reflect")
    size = padded.shape[:2]
    spectrum = np.fft.rfft2(padded, axes=(0, 1)) * np.fft.rfft2(kernel, size)[..., None]
    return np.fft.irfft2(spectrum, size, axes=(0, 1))[2 * reach :, 2 * reach :][:height, :width]
