"""Grouped 3x3 convolutions: groups are joined into packs as wide as the tensor cores multiply.

p groups become one whose weight is block-diagonal, which costs p times the multiplications and none of the memory
traffic. Floor: the larger of the bytes of `x` and `out` by the bandwidth, and 18 x pixels x channels x pack by the
rate of the tensor cores. 128 channels in 32 groups of 56x56 pixels, in half precision: 3.1 microseconds at batch 8,
49 at batch 128, in packs of 32 as much again for the products; alone it is no faster than cuDNN's (`grouped_pointwise`
is fused).

Within a pack, 0 x inf is NaN: an infinite activation spreads over the channels of its pack, though not to other pixels
than the convolution's own, nor to another image.
"""

from __future__ import annotations

import torch
from torch import Tensor

from resnexus.acceleration.backends.contract import BackendError
from resnexus.acceleration.cuda.kernels.settings import PACK, Product, filling, pack_width, suiting, tiles
from resnexus.acceleration.cuda.kernels.windows import TAPS, convolve
from resnexus.rewrites.groups import block_diagonal

PRODUCTS = (
    Product(pixels=128, outputs=64, depth=64, warps=8),
    Product(pixels=128, outputs=64, depth=32, warps=8),
    Product(pixels=128, outputs=32, depth=32),
    Product(pixels=128, outputs=16, depth=16),
    Product(pixels=64, outputs=64, depth=64),
    Product(pixels=64, outputs=32, depth=32, stages=4),
    Product(pixels=64, outputs=16, depth=16, stages=4),
    Product(pixels=32, outputs=32, depth=32, warps=2, stages=4),
    Product(pixels=16, outputs=32, depth=32, warps=2, stages=4),
    Product(pixels=16, outputs=32, depth=32, splits=3, warps=2),
    Product(pixels=16, outputs=16, depth=16, warps=1),
)
"""From few programs to many, by and large."""


def packed(weight: Tensor, groups: int, pack: int = PACK) -> Tensor:
    """Join neighbouring groups of a convolution, with zeros between their channels.

    Args:
        weight: (outputs, C / groups, 3, 3) of a convolution with as many outputs as inputs.
        groups: of channels.
        pack: channels of a pack at most.

    Returns:
        (outputs, wider, 3, 3) with the strides of `torch.channels_last`, `wider` as `settings.pack_width` says.

    Raises:
        BackendError: the groups have not as many outputs as inputs.
    """
    outputs, per_group = weight.shape[:2]
    if outputs != groups * per_group:
        raise BackendError(
            f"weight {tuple(weight.shape)} in {groups} groups: expected as many outputs as inputs, {groups * per_group}"
        )
    joined = pack_width(groups, per_group, pack) // per_group
    packs = [block_diagonal(part.chunk(joined)) for part in weight.chunk(groups // joined)]
    return torch.cat(packs).contiguous(memory_format=torch.channels_last)


def conv3x3(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    out: Tensor,
    *,
    stride: int = 1,
    workspace: Tensor | None = None,
    settings: Product | None = None,
) -> None:
    """Write relu(weight * x + bias), with zeros around the image.

    Args:
        x: (N, C, H, W).
        weight: (C, pack, 3, 3) as `packed` returns it, or a group of at least 16 channels as it is.
        bias: (C,), or None.
        out: (N, C, ceil(H / stride), ceil(W / stride)); not `x`.
        stride: in both directions.
        workspace: (numbers,) float32, as many as `epilogue.workspace_numbers(out, settings)`.
        settings: a row of `PRODUCTS`.

    Raises:
        BackendError: shapes, strides or a workspace that are not as they should be.
    """
    row = settings or default(x, weight, out)
    convolve(x, None, weight, bias, None, out, row, stride=stride, relu=True, workspace=workspace)


def candidates(x: Tensor, weight: Tensor, out: Tensor) -> tuple[Product, ...]:
    """Return the rows of the table that are worth a try: their outputs divide a pack."""
    pack = weight.shape[1]
    multiple = None if pack == x.shape[1] else pack
    return suiting(PRODUCTS, out, depth=pack, itemsize=x.element_size(), taps=TAPS, multiple=multiple)


def default(x: Tensor, weight: Tensor, out: Tensor) -> Product:
    """Return the first row whose programs fill a GPU."""
    return filling(candidates(x, weight, out), lambda row: tiles(out, row) * row.splits)
