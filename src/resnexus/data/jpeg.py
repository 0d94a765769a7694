"""What only JPEG files have: any number of scans, and a faster decoder that gives the same pixels."""

from __future__ import annotations

import re
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

Array = np.ndarray[Any, np.dtype[Any]]

_START_OF_SCAN = b"\xff\xda"
_MARKER = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])")
"""Any marker but the restarts, which belong to the data of a scan, as does FF 00."""
_WITHOUT_LENGTH = (b"\x01", b"\xd8")
_END = b"\xd9"


def has_more_scans(content: bytes, limit: int) -> bool:
    """Tell whether a decoder would meet more than `limit` scans in a JPEG file.

    A progressive file sends the image in about ten scans, each of which goes over the whole image: a file of 50 KB
    that repeats an empty one keeps a decoder busy for half a minute.
    """
    # Every scan has the two bytes; text and thumbnails between the scans may have them, too.
    return content.count(_START_OF_SCAN) > limit and count_scans(content) > limit


def count_scans(content: bytes) -> int:
    """Return how many scans a JPEG file has up to its end marker."""
    scans, place = 0, 2
    while found := _MARKER.search(content, place):
        code, place = found.group(1), found.end()
        if code == _END:
            break
        scans += code == _START_OF_SCAN[1:]
        if code not in _WITHOUT_LENGTH:
            place += int.from_bytes(content[place : place + 2])
    return scans


def decode(content: bytes) -> Array | None:
    """Decode a colour JPEG with simplejpeg, which gives Pillow's pixels in less time.

    Returns:
        (H, W, 3) uint8; None if simplejpeg is not installed, finds anything amiss, or differs from Pillow here: then
        Pillow decides.
    """
    simplejpeg = _simplejpeg()
    if simplejpeg is None:
        return None
    try:
        pixels: Array = simplejpeg.decode_jpeg(content, "RGB", strict=True)
    except (ValueError, MemoryError):
        return None
    return pixels


@cache
def _simplejpeg() -> Any:
    """Return the module if it is installed and decodes two files as Pillow does."""
    try:
        import simplejpeg
    except ImportError:
        return None
    ramp = np.linspace(0, 255, 37 * 29 * 3).astype(np.uint8)
    for subsampling in (0, 2):
        file = BytesIO()
        Image.fromarray((ramp * 7).reshape(29, 37, 3)).save(file, "JPEG", subsampling=subsampling)
        with Image.open(file) as image:
            if not np.array_equal(simplejpeg.decode_jpeg(file.getvalue(), "RGB"), np.asarray(image)):
                return None
    return simplejpeg
