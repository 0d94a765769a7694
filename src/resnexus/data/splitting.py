"""Hold out a part of a data set for validation, the same one everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np

from resnexus.errors import ResnexusError

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


def check_fraction(val_fraction: float) -> float:
    """Return `val_fraction`.

    Raises:
        ResnexusError: it is not above 0 and below 1.
    """
    if not 0 < val_fraction < 1:
        raise ResnexusError(f"val_fraction={val_fraction!r}: expected a number above 0 and below 1")
    return val_fraction


def divided(fraction: float, parts: str) -> str:
    """Return the sentence that tells how `split` divided data without `parts`."""
    return f"no {parts} in it: {fraction:.0%} of every class, drawn at random with seed 0, validate"
