"""The pictures on which every artefact is compared with its network: two photographs, whole and in parts."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from resnexus.data.images import load_pixels

Array = np.ndarray[Any, np.dtype[Any]]

_FILES = ("china.jpg", "flower.jpg")

# Top, left, height, width: the whole, upright and wide parts, and one smaller than the networks take.
_PARTS = ((0, 0, 427, 640), (0, 200, 427, 240), (150, 0, 131, 640), (160, 240, 97, 129))


@cache
def photographs() -> tuple[Array, ...]:
    """Return eight pictures, (height, width, 3) uint8, of four sizes; not to be changed."""
    folder = files("resnexus.artefacts") / "pictures"
    found = []
    for name in _FILES:
        pixels = load_pixels((folder / name).read_bytes())
        found += [pixels[top : top + height, left : left + width] for top, left, height, width in _PARTS]
    return tuple(map(np.ascontiguousarray, found))
