"""The resize and crop of `Preprocess` as a graph: the same bits, for a picture of any size.

Where the pixels lie is computed in float64, as `data.resizing` does it; their blend in whole numbers below 2^24, so
that float32, in which some runtimes compute everything, holds them exactly.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from resnexus.data.preprocess import Preprocess
from resnexus.errors import ResnexusError


class _Taps(NamedTuple):
    """For every place of the result along one side: two neighbours in the picture and their weights in 1/2048."""

    before: Tensor
    after: Tensor
    near: Tensor
    far: Tensor


class Frame(nn.Module):
    """A picture -> its centre at the network's size, as `Preprocess.frame` gives it.

    Args:
        preprocess: without antialias.

    Raises:
        ResnexusError: with antialias, which is Pillow's own resize.
    """

    places: Tensor
    resize_short: Tensor

    def __init__(self, preprocess: Preprocess) -> None:
        super().__init__()
        if preprocess.antialias:
            raise ResnexusError(
                "preprocess='full': a resize with antialias is Pillow's own and no graph computes it; give "
                "preprocess='normalise', and resize before"
            )
        self.size = preprocess.size
        # A tensor: PyTorch divides a number by a tensor with one more rounding, which moves halves.
        self.register_buffer("resize_short", torch.scalar_tensor(preprocess.resize_short, dtype=torch.float64))
        self.register_buffer("places", torch.arange(preprocess.size, dtype=torch.float64) + 0.5)

    def forward(self, picture: Tensor) -> Tensor:
        """(H, W, C) uint8 -> (size, size, C) float32, whole numbers from 0 to 255."""
        height, width = (torch.scalar_tensor(side, dtype=torch.float64) for side in picture.shape[:2])
        scale = self.resize_short / torch.minimum(height, width)
        rows, columns = self._taps(height, scale), self._taps(width, scale)
        top = _blended(picture.index_select(0, rows.before), columns)
        bottom = _blended(picture.index_select(0, rows.after), columns)
        top = _weighted(top, rows.near[:, None, None])
        bottom = _weighted(bottom, rows.far[:, None, None])
        return torch.floor((top + bottom + 2) / 4)

    def _taps(self, length: Tensor, scale: Tensor) -> _Taps:
        resized = torch.round(length * scale)
        start = torch.floor((resized - self.size) / 2)
        centre = ((self.places + start) * (length / resized) - 0.5).float()
        before = torch.floor(centre)
        fraction = centre - before
        last = (length - 1).float()
        return _Taps(
            before=torch.minimum(before.clamp(min=0), last).long(),
            after=torch.minimum((before + 1).clamp(min=0), last).long(),
            near=torch.round((1 - fraction) * 2048),
            far=torch.round(fraction * 2048),
        )


def _blended(rows: Tensor, columns: _Taps) -> Tensor:
    """(size, W, C) uint8 -> (size, size, C) float32: two neighbours in a row, in 1/128."""
    left, right = (rows.index_select(1, column).float() for column in (columns.before, columns.after))
    return torch.floor((left * columns.near[:, None] + right * columns.far[:, None]) / 16)


def _weighted(value: Tensor, weight: Tensor) -> Tensor:
    """Return floor(value * weight / 65536) of whole numbers; the product itself would need 27 bits."""
    high = torch.floor(value / 8)
    low = value - 8 * high
    return torch.floor((high * weight + torch.floor(low * weight / 8)) / 8192)
