"""Grouped convolutions with fewer, wider groups: block-diagonal packs."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from resnexus.architectures.spec import Architecture
from resnexus.errors import ResnexusError
from resnexus.rewrites.folding import AnyNetwork, conv_from, fold_batch_norm, replace_modules


def has_groups(row: Architecture) -> bool:
    """Whether the row has grouped convolutions."""
    return row.groups > 1


def pack_groups(network: AnyNetwork, width: int) -> AnyNetwork:
    """Return a folded copy whose grouped convolutions have groups of `width` channels, or as near below as divides.

    p neighbouring groups become one whose weight is block-diagonal; the entries off the diagonal are zero. Exact
    for finite activations (0 x inf is nan, so an overflow spreads over its pack). Weights and multiply-adds of
    these convolutions grow p times; what is won is a group as wide as the machine's vectors or tiles.

    p is the largest divisor of the number of groups whose packs are at most `width` channels.

    Args:
        network: a network with groups; left as it is.
        width: channels of a pack, e.g. 16, 32 or 64.

    Raises:
        ResnexusError: `width` is not positive, or the network has no groups.
    """
    if width < 1:
        raise ResnexusError(f"width={width}: expected the channels of a pack, at least 1")
    if not has_groups(network.architecture):
        raise ResnexusError(f"{network.architecture.name} has no grouped convolution to pack: groups=1")
    packed = fold_batch_norm(network)
    replace_modules(packed, nn.Conv2d, partial(_pack, width=width))
    packed.eval()
    return packed


def _pack(conv: nn.Conv2d, width: int) -> nn.Conv2d:
    per_group = conv.in_channels // conv.groups
    fitting = [p for p in range(2, conv.groups + 1) if conv.groups % p == 0 and p * per_group <= width]
    if not fitting:
        return conv
    merged = fitting[-1]
    weight = conv.weight.double()
    packs = [block_diagonal(pack.chunk(merged)) for pack in weight.chunk(conv.groups // merged)]
    bias = None if conv.bias is None else conv.bias.double()
    return conv_from(torch.cat(packs), bias, conv, groups=conv.groups // merged)


def block_diagonal(weights: tuple[Tensor, ...]) -> Tensor:
    """Join p weights (out, in, k, k) into one (p out, p in, k, k) that keeps their channels apart."""
    out_width, in_width = weights[0].shape[:2]
    joined = weights[0].new_zeros(out_width * len(weights), in_width * len(weights), *weights[0].shape[2:])
    for index, weight in enumerate(weights):
        rows, columns = index * out_width, index * in_width
        joined[rows : rows + out_width, columns : columns + in_width] = weight
    return joined
