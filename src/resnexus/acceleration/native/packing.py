"""Weights in the order in which the kernels read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

LANES, PANEL = 16, 32
"""Channels of a block of activations, and output channels that a kernel computes together."""

Floats = NDArray[np.float32]
Numbers = NDArray[Any]

# F(4x4, 3x3) interpolates at 0, +-A, +-B and infinity. With these points the rounding error of a whole network stays
# near that of a direct convolution; the usual +-1 and +-2 give several times as much.
A, B = 0.75, 1.5


def spread(values: Numbers, cells: Sequence[int]) -> Numbers:
    """Put the last axis, channels without gaps, into blocks of 16 of which `cells` says how many are in use."""
    result = np.zeros((*values.shape[:-1], LANES * len(cells)), values.dtype)
    start = 0
    for block, count in enumerate(cells):
        result[..., LANES * block : LANES * block + count] = values[..., start : start + count]
        start += count
    return result


def panels(matrix: Numbers, cells: Sequence[int]) -> Floats:
    """(..., depth, out) -> (panels, ..., depth, 32), zeros where an output channel is not in use."""
    wide = spread(matrix, cells)
    missing = -wide.shape[-1] % PANEL
    wide = np.pad(wide, [(0, 0)] * (wide.ndim - 1) + [(0, missing)])
    split = wide.reshape(*wide.shape[:-1], -1, PANEL)
    return np.ascontiguousarray(np.moveaxis(split, -2, 0), dtype=np.float32)


def winograd_matrix() -> NDArray[np.float64]:
    """Return G (6, 3) of F(4x4, 3x3): U = G g G^T, the kernel's polynomial at the points, scaled.

    Lavin and Gray 2015, arXiv:1509.09308; row of a point p: (1, p, p^2) over the product of its distances to the
    other points.
    """
    a2, b2 = A * A, B * B
    rows = [[1 / (a2 * b2), 0.0, 0.0]]
    for point, norm in ((A, a2 - b2), (-A, a2 - b2), (B, b2 - a2), (-B, b2 - a2)):
        scale = 1 / (2 * point * point * norm)
        rows.append([scale, scale * point, scale * point * point])
    return np.array([*rows, [0.0, 0.0, 1.0]])


def winograd(weight: Numbers, cells: Sequence[int]) -> Floats:
    """(out, in, 3, 3) -> (panels, 36, in, 32), transformed in float64."""
    g = winograd_matrix()
    transformed = np.einsum("yi,xj,ocij->yxco", g, g, weight.astype(np.float64), optimize=True)
    return panels(transformed.reshape(36, weight.shape[1], weight.shape[0]), cells)


def grouped(weight: Numbers) -> Floats:
    """(out, width, 3, 3) -> (out / 16, 3 rows, width, 3 columns, 16)."""
    out, width = weight.shape[:2]
    blocks = weight.reshape(out // LANES, LANES, width, 3, 3)
    return np.ascontiguousarray(blocks.transpose(0, 3, 2, 4, 1), dtype=np.float32)


def strassen(weight: Numbers, cells: Sequence[int]) -> Floats:
    """(out, in) -> (blocks of out / 4, 7, in / 2, 32): the right factors of the seven products, summed in float64."""
    matrix = spread(weight.T.astype(np.float64), cells)
    (b11, b12), (b21, b22) = (np.split(half, 2, axis=1) for half in np.split(matrix, 2, axis=0))
    factors = np.stack([b11 + b22, b11, b12 - b22, b21 - b11, b22, b11 + b12, b21 + b22])
    split = factors.reshape(*factors.shape[:2], -1, PANEL)
    return np.ascontiguousarray(split.transpose(2, 0, 1, 3), dtype=np.float32)
