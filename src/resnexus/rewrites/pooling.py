"""The average-pooled shortcut of the "vd" networks as one convolution."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn
from torch.nn import functional as F

from resnexus.architectures.blocks import ProjectionShortcut
from resnexus.architectures.spec import Architecture
from resnexus.errors import ResnexusError
from resnexus.rewrites.folding import AnyNetwork, biased, conv_from, fold_batch_norm, replace_modules


@final
class PooledProjection(nn.Module):
    """2x2 convolution of stride 2 that computes a 2x2 average pool and the 1x1 convolution behind it.

    An odd last row or column is repeated first: the mean of a repeated pixel is the pixel, which is what a pool
    that leaves out the missing pixels gives.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_width, H, W) -> (N, out_width, H / 2, W / 2), rounded up."""
        height, width = x.shape[-2:]
        if height % 2 or width % 2:
            x = F.pad(x, (0, width % 2, 0, height % 2), mode="replicate")
        return self.conv(x)


def pools_shortcut(row: Architecture) -> bool:
    """Whether the row has a shortcut behind an average pool."""
    return row.shortcut == "pool" and len(row.depths) > 1


def pool_into_projection(network: AnyNetwork) -> AnyNetwork:
    """Return a folded copy in which 2x2 average pool and 1x1 convolution are one 2x2 convolution of stride 2.

    W'[o, i, dy, dx] = W[o, i] / 4. One launch instead of two or three, against four times the multiply-adds of the
    shortcut (about 22 % more of a whole 50-layer network): good where launches bind, bad where arithmetic does.

    Raises:
        ResnexusError: the network has no pooled shortcut.
    """
    if not pools_shortcut(network.architecture):
        raise ResnexusError(
            f"{network.architecture.name} has no average pool before a projection: shortcut="
            f"{network.architecture.shortcut!r}, stages={len(network.architecture.depths)}"
        )
    rewritten = fold_batch_norm(network)
    replace_modules(rewritten, ProjectionShortcut, _join)
    rewritten.eval()
    return rewritten


def _join(shortcut: ProjectionShortcut) -> nn.Module:
    if not isinstance(shortcut.pool, nn.AvgPool2d):
        return shortcut
    conv = biased(shortcut.proj).conv
    like = nn.Conv2d(conv.in_channels, conv.out_channels, 2, 2, device="meta", dtype=conv.weight.dtype)
    weight = conv.weight.double().expand(-1, -1, 2, 2) / 4
    bias = None if conv.bias is None else conv.bias.double()
    return PooledProjection(conv_from(weight, bias, like))
