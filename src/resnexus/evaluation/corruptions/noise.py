"""Noise: of the sensor, of few photons, of dead pixels."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


def gaussian_noise(pixels: Array, scale: float, random: np.random.Generator) -> Array:
    """Add normal noise of standard deviation `scale`."""
    return pixels + random.normal(scale=scale, size=pixels.shape)


def shot_noise(pixels: Array, photons: float, random: np.random.Generator) -> Array:
    """Count photons, `photons` of them for a white pixel: Poisson noise."""
    return random.poisson(pixels * photons) / photons


def impulse_noise(pixels: Array, share: float, random: np.random.Generator) -> Array:
    """Make a share of the values black or white."""
    dead, white = random.random(pixels.shape) < share, random.random(pixels.shape) < 0.5
    return np.where(dead, np.where(white, 1.0, 0.0), pixels)


def speckle_noise(pixels: Array, scale: float, random: np.random.Generator) -> Array:
    """Add normal noise in proportion to the value."""
    return pixels + pixels * random.normal(scale=scale, size=pixels.shape)
