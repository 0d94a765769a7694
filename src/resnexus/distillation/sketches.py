"""Whether two pictures are the same, pixel by pixel, when one may be cut out of the other.

A sketch is the picture shrunk to 64 x 64 grey pixels. Windows of it, whole or with up to a tenth of a side cut off in
either direction, are shrunk to 16 x 16. Two pictures correlate as much as the best pair of a whole and a window does:
1 for copies, whatever their brightness and contrast, about 0 for others, even two pieces of one texture. What is
compared is without its plane: with an even slope of brightness, as of a sky, all skies would be alike.

In that a few strong edges decide, and all rims of a disc are alike. So the detail is compared, too: each pixel less the
mean of the 5 x 5 around it, in units of their deviation (local contrast normalisation; Jarrett et al., ICCV 2009).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from resnexus.prediction.decoding import Decoding
from resnexus.prediction.inputs import Wanted

Array = np.ndarray[Any, np.dtype[Any]]

SIDE = 64
"""Of a sketch in pixels."""
_SMALL = 16
_SHARES = (0.95, 0.9)
_PLACES = 5
"""Places of a window on each axis, from one end to the other."""
_AROUND = 2
"""Pixels on either side of one that are around it."""
_NOISE = 2.0
"""Deviation, in levels of grey, that a change of a picture brings by itself: detail of less counts for less."""
_FLAT = 0.1
"""Length of a window without its plane, in levels of grey, below which it shows nothing but rounding."""


class Alike(NamedTuple):
    """How much two pictures and their detail correlate, from -1 to 1, and whether one of them is mirrored for that."""

    correlation: float
    detail: float
    mirrored: bool


@dataclass(frozen=True, kw_only=True)
class Sketching(Decoding):
    """How a picture becomes its sketch: (64, 64) uint8."""

    def made(self, source: Wanted) -> Array:
        """Return the sketch of a picture."""
        return sketch(self.pixels(source))


def sketch(pixels: Array) -> Array:
    """(H, W, 3) uint8 -> (64, 64) uint8, of the whole picture, whatever its aspect."""
    grey = Image.fromarray(np.ascontiguousarray(pixels)).convert("L")
    # By way of the box of whole pixels: a filter over a large picture takes longer and gives much the same.
    factors = (max(1, grey.width // (4 * SIDE)), max(1, grey.height // (4 * SIDE)))
    return np.asarray(grey.reduce(factors).resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def windows(picture: Array) -> Array:
    """Return all windows of a sketch, the whole first, and their detail, each of length 1.

    A window is without its plane, and 0 if it shows no more than that; so is its detail. Brightness, contrast and an
    even slope of it, as of a sky, say nothing of what a picture shows.

    Args:
        picture: (64, 64) uint8.

    Returns:
        (2, 121, 256) float32, a window of 16 x 16 on each row, and its detail.
    """
    shrink = _shrinking()
    rows = np.tensordot(shrink, picture.astype(np.float32), axes=1)
    cut = np.einsum("aiq,bjq->abij", rows, shrink, optimize=True).reshape(len(shrink) ** 2, -1)
    flat = _planes()
    centred = cut - cut @ flat @ flat.T
    shows = np.linalg.norm(centred, axis=1, keepdims=True) > _FLAT
    both = np.stack([centred, _detail(cut.reshape(-1, _SMALL, _SMALL)).reshape(cut.shape)])
    found: Array = np.where(shows, both / np.maximum(np.linalg.norm(both, axis=2, keepdims=True), 1e-9), 0)
    return found


def alike(first: Array, second: Array) -> Alike:
    """Compare two pictures by their windows, and one with the mirror image of the other.

    The whole of each is compared with the windows of the other. A picture of one colour, or of an even slope, is like
    no other.
    """
    (direct, turned), detail = _best(first[0], second[0]), _best(first[1], second[1])
    return Alike(max(direct, turned), max(detail), mirrored=turned > direct)


@cache
def _planes() -> Array:
    """Return what any plane over a window is a sum of, three columns of length 1: (256, 3) float32."""
    rows, columns = np.mgrid[:_SMALL, :_SMALL].reshape(2, -1) - (_SMALL - 1) / 2
    base = np.stack([np.ones_like(rows), rows, columns], 1)
    found: Array = (base / np.linalg.norm(base, axis=0)).astype(np.float32)
    return found


def _best(first: Array, second: Array) -> tuple[float, float]:
    """Return the largest product of the whole of one and a window of the other, and that of mirror images."""
    direct = max(float((second @ first[0]).max()), float((first @ second[0]).max()))
    # The windows of a mirror image are the mirror images of the windows.
    turned = max(float((second @ _mirrored(first[0])).max()), float((first @ _mirrored(second[0])).max()))
    return direct, turned


def _detail(windows: Array) -> Array:
    """Subtract from each pixel the mean around it, and divide by the deviation there and that of noise: (n, 16, 16)."""
    places = np.arange(_SMALL)
    around = (np.abs(places[:, None] - places) <= _AROUND).astype(np.float32)
    around /= around.sum(1, keepdims=True)
    mean = around @ windows @ around.T
    variance = around @ windows**2 @ around.T - mean**2
    found: Array = (windows - mean) / np.sqrt(np.maximum(variance, 0) + _NOISE**2)
    return found


def _mirrored(window: Array) -> Array:
    return window.reshape(_SMALL, _SMALL)[:, ::-1].reshape(-1)


@cache
def _shrinking() -> Array:
    """Return for each window of an axis the means that its 16 pixels are of the 64: (11, 16, 64) float32."""
    spans = [(0.0, 1.0)]
    for share in _SHARES:
        spans += [(start, start + share) for start in np.linspace(0, 1 - share, _PLACES)]
    edges = np.arange(SIDE)
    means = []
    for start, stop in spans:
        bounds = SIDE * np.linspace(start, stop, _SMALL + 1)
        covered = np.minimum(bounds[1:, None], edges + 1) - np.maximum(bounds[:-1, None], edges)
        means.append(np.clip(covered, 0, 1) / (bounds[1] - bounds[0]))
    return np.array(means, np.float32)
