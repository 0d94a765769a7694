"""scikit-learn's bundled digits: 1,797 real 8x8 scans of handwritten digits, and one fixed split of them.

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


def split(labels: Array) -> tuple[Array, Array]:
    """Return the indices of the training and of the validation images, both ascending.

    A fifth of each class, rounded, is for validation. NumPy's legacy generator never changes, so the split is the same
    everywhere: of the digits, 1,438 train and 359 validate.

    Args:
        labels: (N,) class of every image.
    """
    random = np.random.RandomState(0)
    held_out = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        held_out[random.permutation(members)[: round(len(members) / 5)]] = True
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)
