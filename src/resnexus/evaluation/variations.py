"""Other ways to prepare the same images: sizes, resizing libraries, crops."""

from __future__ import annotations

from dataclasses import replace

from resnexus.data.preprocess import Preprocess

_PUBLISHED_CROP = 224 / 256
"""Of the short side; every network of the series was published with it."""
_NEAR = 0.02


def at_size(base: Preprocess, size: int) -> Preprocess:
    """Return the preparation for squares of `size` pixels, the crop taking the same share of the picture.

    Raises:
        ResnexusError: a size that there is not.
    """
    return replace(base, size=size, resize_short=max(size, round(base.resize_short * size / base.size)))


def sensitivities(base: Preprocess) -> dict[str, Preprocess]:
    """Return preparations that differ from `base` in one thing, by what that is; at the same size.

    What people change without noticing: OpenCV's resize, which reads four pixels, Pillow's, which averages all that a
    pixel covers, its bicubic filter, and how much of the picture is cut off.
    """
    size = base.size
    found = {
        "OpenCV's bilinear resize": replace(base, interpolation="bilinear", antialias=False),
        "Pillow's bilinear resize": replace(base, interpolation="bilinear", antialias=True),
        "Pillow's bicubic resize": replace(base, interpolation="bicubic", antialias=True),
        "the whole short side, nothing cropped": replace(base, resize_short=size),
        "a crop of 0.875 of the short side": replace(base, resize_short=round(size / _PUBLISHED_CROP)),
    }
    return {name: other for name, other in found.items() if not _alike(other, base)}


def _alike(other: Preprocess, base: Preprocess) -> bool:
    """Whether two preparations differ in nothing, or in a hair's breadth of the crop."""
    near = abs(other.resize_short - base.resize_short) <= _NEAR * base.resize_short
    return near and replace(other, resize_short=base.resize_short) == base
