"""The average pools of the blocks, as they are and dilated."""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resnexus.architectures.dilation import Grid


def average_pool(kernel: int, grid: Grid, *, count_padding: bool = False) -> nn.Module:
    """Return the 2x2 pool of a shortcut, or the 3x3 pool of a Res2 branch, that takes over the stride of a block.

    Args:
        kernel: 2 or 3.
        grid: how the block moves over the image.
        count_padding: divide by all taps, those outside of the image too; otherwise by those inside.
    """
    if grid.after > 1:
        return DilatedAvgPool(kernel, grid.before, count_padding=count_padding)
    if kernel == 2:
        # An odd last row or column is averaged over the pixels it has.
        return nn.AvgPool2d(2, grid.stride, ceil_mode=True, count_include_pad=count_padding)
    return nn.AvgPool2d(3, grid.stride, 1, count_include_pad=count_padding)


class DilatedAvgPool(nn.Module):
    """Average pool of stride 1 whose taps are `dilation` pixels apart; the image keeps its size.

    Args:
        kernel: taps on a side: 2 (a pixel and the one after it) or 3 (the ones before and after, too).
        dilation: pixels between taps.
        count_padding: divide by all taps, those outside of the image too; otherwise by those inside.
    """

    def __init__(self, kernel: int, dilation: int, *, count_padding: bool) -> None:
        super().__init__()
        self.kernel, self.dilation, self.count_padding = kernel, dilation, count_padding

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        if self.count_padding:
            return self._sum(x) / self.kernel**2
        return self._sum(x) / self._sum(torch.ones_like(x[:1, :1]))

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"{self.kernel}, dilation={self.dilation}, count_padding={self.count_padding}"

    def _sum(self, x: Tensor) -> Tensor:
        before = (self.kernel - 1) // 2 * self.dilation
        after = self.kernel // 2 * self.dilation
        x = F.pad(x, (before, after, before, after))
        taps = [
            slice(tap * self.dilation, (tap + 1 - self.kernel) * self.dilation or None) for tap in range(self.kernel)
        ]
        rows = reduce(torch.add, [x[:, :, tap] for tap in taps])
        return reduce(torch.add, [rows[:, :, :, tap] for tap in taps])
