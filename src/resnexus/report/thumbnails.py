"""Small pictures that lie within a page."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

Array = np.ndarray[Any, np.dtype[Any]]

LONGEST = 192
"""Pixels of the longest side."""
SMALL = 64
"""Up to this side a picture is kept pixel by pixel, as PNG."""


def thumbnail(pixels: Array) -> str:
    """Return a picture as an address that holds it, `data:image/...`, for the `src` of HTML.

    Args:
        pixels: (H, W, C) uint8, C of 1 or 3.
    """
    image = Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0])
    image.thumbnail((LONGEST, LONGEST), Image.Resampling.BOX)
    kind = "PNG" if max(image.size) <= SMALL else "JPEG"
    file = BytesIO()
    image.save(file, kind, quality=80)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"
