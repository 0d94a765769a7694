"""Resize an image and cut a square out of the result: as OpenCV does without antialias, as Pillow does with it."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from resnexus.data.error_codes import ErrorCode
from resnexus.data.images import MAX_PIXELS
from resnexus.data.sources import ImageError

Array = np.ndarray[Any, np.dtype[Any]]

_WASTE = 4
"""OpenCV resizes the whole image: it is asked if that is at most so many times what is wanted."""
_PROBES = ((2, 2), (8, 6), (7, 9), (4, 3), (32, 24), (13, 40))
"""Sizes to which an image of 16 x 12 is resized to see whether an OpenCV gives these pixels."""


def antialiased(
    pixels: Array, resized: tuple[int, int], corner: tuple[int, int], side: int, resampling: Image.Resampling
) -> Array:
    """Return a square of the resized image, with every output pixel averaged over what it covers: Pillow's own resize.

    Args:
        pixels: (H, W, C) uint8, C of 1 or 3.
        resized: (height, width) of the whole result.
        corner: (top, left) of the square in it.
        side: of the square.
        resampling: Pillow's filter.

    Returns:
        (side, side, C) uint8.

    Raises:
        ImageError: the whole result has more than `MAX_PIXELS` pixels.
    """
    height, width = resized
    if height * width > MAX_PIXELS:
        reason = f"resized it would have {height:,} x {width:,} pixels"
        raise ImageError("from memory", reason, "crop it", ErrorCode.TOO_LARGE)
    image = Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0])
    top, left = corner
    square = image.resize((width, height), resampling).crop((left, top, left + side, top + side))
    return np.array(square).reshape(side, side, -1)


def linear(pixels: Array, resized: tuple[int, int], corner: tuple[int, int], side: int) -> Array:
    """Return a square of the resized image, every pixel blended of four: OpenCV's INTER_LINEAR for uint8, bit for bit.

    OpenCV itself computes it if it is installed and gives the same pixels as the definition below; several times
    faster. Otherwise, and where little of the whole is wanted, the definition does, and computes the square alone.

    Args and result as for `antialiased`.
    """
    opencv = _opencv()
    if opencv is None or resized[0] * resized[1] > _WASTE * side**2:
        return linear_by_definition(pixels, resized, corner, side)
    top, left = corner
    whole: Array = opencv.resize(pixels, resized[::-1], interpolation=opencv.INTER_LINEAR).reshape(*resized, -1)
    return whole[top : top + side, left : left + side]


def linear_by_definition(pixels: Array, resized: tuple[int, int], corner: tuple[int, int], side: int) -> Array:
    """Return what `linear` does: weights in 1/2048, columns blended first, rows from 20-bit sums."""
    height, width = pixels.shape[:2]
    y, below = _taps(height, resized[0], corner[0], side)
    x, beyond = _taps(width, resized[1], corner[1], side)
    columns = np.clip((x, x + 1), 0, width - 1)
    rows, row_of = np.unique(np.clip((y, y + 1), 0, height - 1), return_inverse=True)
    first = columns.min()
    part = pixels[:, first : columns.max() + 1][rows]

    left, right = (torch.from_numpy(part.take(column - first, axis=1)).int() for column in columns)
    near, far = _weights(beyond)
    blended = left.mul_(near[:, None]).add_(right.mul_(far[:, None])).bitwise_right_shift_(4)
    top, bottom = (blended.index_select(0, torch.from_numpy(row)) for row in row_of.reshape(2, side))
    near, far = _weights(below)
    top.mul_(near[:, None, None]).bitwise_right_shift_(16)
    bottom.mul_(far[:, None, None]).bitwise_right_shift_(16)
    result: Array = top.add_(bottom).add_(2).bitwise_right_shift_(2).to(torch.uint8).numpy()
    return result


def _taps(length: int, resized: int, start: int, count: int) -> tuple[Array, Array]:
    """For outputs start .. start + count - 1: the input pixel at or before the centre, and how far the centre is on."""
    centre = ((np.arange(start, start + count) + 0.5) * (length / resized) - 0.5).astype(np.float32)
    before = np.floor(centre)
    return before.astype(np.int64), centre - before


def _weights(fraction: Array) -> tuple[Tensor, Tensor]:
    near, far = np.rint((1 - fraction) * 2048), np.rint(fraction * 2048)
    return torch.from_numpy(near.astype(np.int32)), torch.from_numpy(far.astype(np.int32))


@cache
def _opencv() -> Any:
    """Return the module if it is installed and resizes as defined; builds for some processors round otherwise."""
    try:
        import cv2
    except ImportError:
        return None
    image = (np.arange(16 * 12 * 3) * 89 % 251).astype(np.uint8).reshape(16, 12, 3)
    for height, width in _PROBES:
        side = min(height, width)
        found = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)[:side, :side]
        if not np.array_equal(found, linear_by_definition(image, (height, width), (0, 0), side)):
            return None
    return cv2
