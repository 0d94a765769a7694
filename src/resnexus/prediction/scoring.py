"""From logits to the classes that are named, and their probabilities."""

from __future__ import annotations

import numpy as np
from torch import Tensor

MULTI_LABEL_THRESHOLD = 0.5


def probabilities(logits: Tensor, *, multi_label: bool) -> Tensor:
    """(N, classes) logits -> (N, classes) float32: softmax over the classes, or the sigmoid of each; in float64."""
    wide = logits.double()
    return (wide.sigmoid() if multi_label else wide.softmax(1)).float()


def named(
    logits: Tensor, *, topk: int, threshold: float | None, multi_label: bool
) -> list[tuple[tuple[int, ...], tuple[float, ...]] | None]:
    """Return for each image the classes that are named, and their scores.

    They are those of at least `threshold`, the most probable first, of equal ones the lower, and `topk` at most. There
    may be none.

    Args:
        logits: (N, classes).
        topk: at least 1.
        threshold: if None, 0, or for multi-label networks 0.5.
        multi_label: see `probabilities`.

    Returns:
        Class numbers and scores; None for an image whose logits are not finite.
    """
    least = (MULTI_LABEL_THRESHOLD if multi_label else 0.0) if threshold is None else threshold
    scores, classes = probabilities(logits, multi_label=multi_label).sort(dim=1, descending=True, stable=True)
    finite = logits.isfinite().all(1).tolist()
    found: list[tuple[tuple[int, ...], tuple[float, ...]] | None] = []
    for values, numbers, good in zip(scores[:, :topk].numpy(), classes[:, :topk].tolist(), finite, strict=True):
        count = int((values >= np.float32(least)).sum())
        found.append((tuple(numbers[:count]), shortest(values[:count])) if good else None)
    return found


def shortest(values: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> tuple[float, ...]:
    """Return float32 numbers as the shortest decimals that tell them from their neighbours."""
    return tuple(float(str(value)) for value in values.astype(np.float32))
