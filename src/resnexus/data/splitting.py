"""Hold out a part of a data set for validation, the same one everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

VAL_FRACTION = 0.2


def split(labels: Array, fraction: float = VAL_FRACTION) -> tuple[Array, Array]:
    """Return the indices of the training and of the validation images, both ascending.

    `fraction` of each class is for validation, rounded, but at least one image; one at least is left to train on.
    NumPy's legacy generator never changes, and its seed is 0, so the split follows from the labels alone.

    Args:
        labels: (N,) class of every image.
        fraction: above 0 and below 1.
    """
    random = np.random.RandomState(0)
    held_out = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = min(max(round(len(members) * fraction), 1), len(members) - 1)
        held_out[random.permutation(members)[:count]] = True
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)
