"""The 3x3 convolutions of a Res2 block: from slice to slice, with the addition in front of them.

y_i = relu(weight_i * (x_i + y_{i-1}) + bias_i), where `x` and `y` are consecutive channels of two larger tensors:
nothing is split, added or joined by a kernel of its own. Widths such as 26 are padded to 32 inside, by masks;
parts that begin at multiples of 8 channels are read in fewer, wider loads, so that `res2_aligned_widths` pays here,
too. Without an addend it is any 3x3 convolution, for those of few pixels that the sum is to be cut for.

Floor: the bytes of `x`, `addend` and `out` by the bandwidth; at batch 128, 56x56 pixels of 26 channels in half
precision, 63 MB, 15 microseconds at 4.2 TB/s. At batch 1 a launch costs more than all of them.

Gao et al. 2019, arXiv:1904.01169.
"""

from __future__ import annotations

from torch import Tensor

from resnexus.acceleration.cuda.kernels.settings import Product, filling, suiting, tiles
from resnexus.acceleration.cuda.kernels.windows import TAPS, convolve

PRODUCTS = (
    Product(pixels=128, outputs=128, depth=64, warps=8),
    Product(pixels=128, outputs=64, depth=64),
    Product(pixels=128, outputs=32, depth=32),
    Product(pixels=128, outputs=16, depth=16),
    Product(pixels=64, outputs=64, depth=64),
    Product(pixels=64, outputs=32, depth=32, stages=4),
    Product(pixels=64, outputs=16, depth=16, stages=4),
    Product(pixels=32, outputs=32, depth=32, stages=4),
    Product(pixels=16, outputs=32, depth=32, warps=2, stages=4),
    Product(pixels=32, outputs=64, depth=64, splits=3),
    Product(pixels=64, outputs=64, depth=64, splits=9),
    Product(pixels=32, outputs=32, depth=64, splits=9),
    Product(pixels=16, outputs=16, depth=16, warps=1),
)
"""From few programs to many, by and large."""


def conv3x3(
    x: Tensor,
    addend: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    out: Tensor,
    *,
    stride: int = 1,
    residual: Tensor | None = None,
    relu: bool = True,
    workspace: Tensor | None = None,
    settings: Product | None = None,
) -> None:
    """Write relu(weight * (x + addend) + bias + residual), with zeros around the image; x + addend is rounded.

    Args:
        x: (N, C, H, W).
        addend: as `x`, or None.
        weight: (outputs, C / groups, 3, 3); groups of few outputs have to be joined, see `grouped.packed`.
        bias: (outputs,), or None.
        out: (N, outputs, ceil(H / stride), ceil(W / stride)); apart from `x` and `addend`.
        stride: in both directions.
        residual: as `out`, which it may be; or None.
        relu: whether negative results become 0.
        workspace: (numbers,) float32, as many as `epilogue.workspace_numbers(out, settings)`.
        settings: a row of `PRODUCTS`.

    Raises:
        BackendError: shapes, strides or a workspace that are not as they should be.
    """
    row = settings or default(x, weight, out)
    convolve(x, addend, weight, bias, residual, out, row, stride=stride, relu=relu, workspace=workspace)


def candidates(x: Tensor, weight: Tensor, out: Tensor) -> tuple[Product, ...]:
    """Return the rows of the table that are worth a try."""
    depth = weight.shape[1]
    multiple = None if depth == x.shape[1] else out.shape[1] * depth // x.shape[1]
    return suiting(PRODUCTS, out, depth=depth, itemsize=x.element_size(), taps=TAPS, multiple=multiple)


def default(x: Tensor, weight: Tensor, out: Tensor) -> Product:
    """Return the first row whose programs fill a GPU."""
    return filling(candidates(x, weight, out), lambda row: tiles(out, row) * row.splits)
