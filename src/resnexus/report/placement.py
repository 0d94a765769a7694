"""Where the names of the points go, so that none covers another.

Vega's own label transform needs a canvas, which the offline renderer does not have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]

_DISTANCES = (7.0, 14.0, 22.0, 32.0, 44.0, 58.0, 74.0, 92.0)
_DIRECTIONS = (
    *((1.0, 0.0), (-1.0, 0.0), (0.0, -1.0), (0.0, 1.0)),
    *((0.7, -0.7), (0.7, 0.7), (-0.7, -0.7), (-0.7, 0.7)),
    *((0.9, -0.4), (0.9, 0.4), (-0.9, -0.4), (-0.9, 0.4), (0.4, -0.9), (0.4, 0.9), (-0.4, -0.9), (-0.4, 0.9)),
)
_NEAR = 14.0  # needs no line to its point
_STARTS, _SWEEPS = 4, 20
_COVERS_LABEL, _COVERS_POINT, _LEAD_CROSSES_LABEL, _COVERS_LINE = 1000.0, 300.0, 60.0, 12.0
_GAP = np.array([-6.0, 0.0, 6.0, 0.0])  # between labels side by side
_NARROW, _WIDE = "ijlIft.,:;|'()[]- /", "mwMW@%"


@dataclass(frozen=True, kw_only=True)
class Label:
    """A placed label.

    Attributes:
        x: pixels from the left, of the side that `align` names.
        y: pixels from the top, of the middle of the text.
        align: `"left"`, `"center"` or `"right"`: which side of the text is at `x`.
        lead: where a line from its point ends, (x, y); None if it is so near that it needs none.
    """

    x: float
    y: float
    align: str
    lead: tuple[float, float] | None


@dataclass(frozen=True)
class _Candidates:
    """Every place tried: boxes (labels, places, 4), dots along the leads (labels, places, dots, 2)."""

    boxes: Array
    leads: Array
    cost: Array


def place(
    points: Sequence[tuple[float, float]],
    texts: Sequence[str],
    lines: Sequence[tuple[float, float, float, float]],
    *,
    size: tuple[float, float],
    font_size: float,
    radius: float = 5,
) -> list[Label | None]:
    """Place one label for each point; None where there is no room that is free of other labels and points.

    Every label in turn takes the best of 16 directions at 8 distances, given where the others are, until none moves;
    the best of several orders is kept.

    Args:
        points: centres of the points, (x, y) in pixels from the top left.
        texts: the label of each point; empty for none.
        lines: segments (x1, y1, x2, y2) that labels had better not cross.
        size: width and height of the plot, which no label leaves.
        font_size: pixels.
        radius: of a point.
    """
    wanted = [index for index, text in enumerate(texts) if text]
    labels: list[Label | None] = [None] * len(texts)
    if not wanted:
        return labels
    centres = np.array(points, dtype=np.float64)
    extents = np.array([(text_width(texts[index], font_size), 1.2 * font_size) for index in wanted])
    boxes, leads = _boxes(centres[wanted], extents)
    cost = _fixed_cost(boxes, size) + _crossings(boxes, np.array(lines, dtype=np.float64).reshape(-1, 4))
    around = np.concatenate([centres - radius, centres + radius], axis=1)
    covered = _overlap(boxes, around)
    led = _inside(leads, around).any(axis=2)
    covered[np.arange(len(wanted)), :, wanted] = led[np.arange(len(wanted)), :, wanted] = False
    cost += _COVERS_POINT * covered.sum(-1) + _COVERS_LINE * led.sum(-1)
    candidates = _Candidates(boxes, leads, cost)
    chosen = min((_descend(candidates, seed) for seed in range(_STARTS)), key=lambda found: found[0])[1]
    kept: list[Array] = []
    for row in np.argsort(cost[np.arange(len(wanted)), chosen], kind="stable"):
        box = boxes[row, chosen[row]]
        if cost[row, chosen[row]] >= _COVERS_POINT or (kept and _overlap(box, np.array(kept) + _GAP).any()):
            continue
        kept.append(box)
        labels[wanted[row]] = _label(box, int(chosen[row]))
    return labels


def text_width(text: str, font_size: float) -> float:
    """Estimate the width of `text` in pixels, in Arial or a font of its widths, a little too wide."""
    ems = 0.0
    for char in text:
        if char in _NARROW:
            ems += 0.34
        elif char in _WIDE:
            ems += 0.9
        elif ord(char) > 0x2E80:
            ems += 1.0
        else:
            ems += 0.7 if char.isupper() else 0.57
    return ems * font_size


def _label(box: Array, place: int) -> Label:
    left, top, right, bottom = (float(side) for side in box)
    dx, dy = _DIRECTIONS[place % len(_DIRECTIONS)]
    middle = (top + bottom) / 2
    x, align = (left, "left") if dx > 0 else (right, "right") if dx < 0 else ((left + right) / 2, "center")
    end = (x, middle) if dx else (x, top if dy > 0 else bottom)
    return Label(x=x, y=middle, align=align, lead=end if _DISTANCES[place // len(_DIRECTIONS)] > _NEAR else None)


def _boxes(centres: Array, extents: Array) -> tuple[Array, Array]:
    offsets = np.array([(dx, dy, far) for far in _DISTANCES for dx, dy in _DIRECTIONS])
    dx, dy, far = offsets.T
    half = extents[:, None, :] / 2
    x = centres[:, None, 0] + dx * far + np.sign(dx) * half[..., 0]
    y = centres[:, None, 1] + dy * far + np.sign(dy) * half[..., 1] * np.where(dx == 0, 1, np.abs(dy))
    boxes = np.stack([x - half[..., 0], y - half[..., 1], x + half[..., 0], y + half[..., 1]], axis=-1)
    ends = np.stack(
        [x - np.sign(dx) * half[..., 0], np.where(dx == 0, y - np.sign(dy) * half[..., 1], y)],
        axis=-1,
    )
    steps = np.linspace(0.15, 0.97, 8)[:, None]
    leads = centres[:, None, None, :] * (1 - steps) + ends[:, :, None, :] * steps
    leads[:, far <= _NEAR] = np.nan
    return boxes, leads


def _fixed_cost(boxes: Array, size: tuple[float, float]) -> Array:
    preference = np.tile(np.arange(len(_DIRECTIONS)) * 0.3, len(_DISTANCES))
    cost = preference + np.repeat(_DISTANCES, len(_DIRECTIONS)) * 0.5 + np.zeros(boxes.shape[:2])
    outside = (boxes[..., 0] < 0) | (boxes[..., 1] < 0) | (boxes[..., 2] > size[0]) | (boxes[..., 3] > size[1])
    cost[outside] += _COVERS_LABEL
    return cost


def _crossings(boxes: Array, lines: Array) -> Array:
    cost = np.zeros(boxes.shape[:2])
    steps = np.linspace(0, 1, 25)[:, None]
    for line in lines:
        dots = line[:2] * (1 - steps) + line[2:] * steps
        inside = (dots[:, 0] > boxes[..., None, 0]) & (dots[:, 0] < boxes[..., None, 2])
        inside &= (dots[:, 1] > boxes[..., None, 1]) & (dots[:, 1] < boxes[..., None, 3])
        cost += _COVERS_LINE * inside.any(-1)
    return cost


def _descend(candidates: _Candidates, seed: int) -> tuple[float, Any]:
    boxes, leads, cost = candidates.boxes, candidates.leads, candidates.cost
    everyone = np.arange(len(boxes))
    chosen = cost.argmin(axis=1)
    order = np.random.RandomState(seed).permutation(everyone)
    total = 0.0
    for _ in range(_SWEEPS):
        before, total = chosen.copy(), 0.0
        for row in order:
            others = everyone[everyone != row]
            there = boxes[others, chosen[others]]
            apart = there + _GAP
            paths = leads[others, chosen[others]].reshape(-1, 2)
            found = cost[row] + _COVERS_LABEL * _overlap(boxes[row], apart).sum(-1)
            found = found + _LEAD_CROSSES_LABEL * _inside(leads[row], there).any(axis=1).sum(-1)
            found = found + _LEAD_CROSSES_LABEL / 4 * _inside(paths, boxes[row]).sum(0)
            chosen[row] = found.argmin()
            total += found[chosen[row]]
        if (chosen == before).all():
            break
    return float(total), chosen


def _overlap(boxes: Array, others: Array) -> Any:
    left, top, right, bottom = (boxes[..., None, side] for side in range(4))
    return (left < others[:, 2]) & (right > others[:, 0]) & (top < others[:, 3]) & (bottom > others[:, 1])


def _inside(dots: Array, boxes: Array) -> Any:
    x, y = dots[..., None, 0], dots[..., None, 1]
    return (x > boxes[:, 0]) & (x < boxes[:, 2]) & (y > boxes[:, 1]) & (y < boxes[:, 3])
