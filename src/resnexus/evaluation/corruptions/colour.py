"""Brightness and saturation of a picture, as HSV and television define them."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


def luma(pixels: Array) -> Array:
    """Return (H, W, 1): 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), or the grey picture itself."""
    if pixels.shape[2] == 1:
        return pixels
    found: Array = pixels @ np.array([0.299, 0.587, 0.114])
    return found[..., None]


def with_value(pixels: Array, value: Array) -> Array:
    """Give every pixel another value of HSV, its largest channel; (H, W, 1). Black becomes grey."""
    old = pixels.max(axis=2, keepdims=True)
    return np.where(old > 0, pixels * value / np.where(old > 0, old, 1), value)


def with_saturation(pixels: Array, factor: float, added: float) -> Array:
    """Make the saturation s of HSV s x factor + added, cut to 0..1; grey pixels have the hue red, as in HSV."""
    value, least = pixels.max(axis=2, keepdims=True), pixels.min(axis=2, keepdims=True)
    spread = value - least
    saturation = spread / np.where(value > 0, value, 1)
    wanted = (saturation * factor + added).clip(0, 1)
    red = np.zeros_like(pixels)
    red[..., 1:] = 1
    # How far a channel is below the value, as a share of the spread: that is the hue.
    below = np.where(spread > 0, (value - pixels) / np.where(spread > 0, spread, 1), red)
    found: Array = value - below * wanted * value
    return found
