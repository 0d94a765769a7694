"""scikit-learn's bundled digits: 1,797 real 8x8 scans of handwritten digits.

Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits, UCI repository (its test part).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from resnexus.errors import ResnexusError

Array = np.ndarray[Any, np.dtype[Any]]

CLASSES = tuple("0123456789")
SIZE = 8


def load_digits() -> tuple[Array, Array]:
    """Return (1797, 8, 8, 1) uint8 images, whose grey levels 0..16 are scaled to 0..255, and (1797,) int64 labels.

    Raises:
        ResnexusError: scikit-learn, which carries the images, is not installed.
    """
    try:
        from sklearn.datasets import load_digits as bundled
    except ImportError as error:
        raise ResnexusError(
            "the digits come with scikit-learn, which is not installed: pip install 'resnexus[demo]'"
        ) from error
    digits = bundled()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    return images, digits.target.astype(np.int64)
