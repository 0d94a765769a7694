"""A grouped 3x3 convolution and the 1x1 after it, with residual and ReLU, in one kernel.

What is between them stays in registers: a program computes a pack of channels for its pixels and multiplies it at once
by the weights that read it, for as many outputs as it sums. Programs for other outputs of the same pixels compute the
packs again, 18 x pack multiplications for each channel beside 2 x outputs.

Floor: the larger of the bytes of `x`, `residual`, `out` and the weights by the bandwidth, and the multiplications
by the rate of the tensor cores. Against two kernels it saves writing and reading the channels between: at stage 0 of
ResNeXt50_32x4d, batch 128 in half precision, 206 of 719 MB.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from resnexus.acceleration.backends.contract import BackendError
from resnexus.acceleration.cuda.kernels import launching
from resnexus.acceleration.cuda.kernels.epilogue import ending, finish
from resnexus.acceleration.cuda.kernels.settings import SMALLEST_PRODUCT, Product, filling, pieces, suiting, tiles

PRODUCTS = (
    Product(pixels=64, outputs=256, depth=16, warps=8, stages=2),
    Product(pixels=64, outputs=128, depth=16, stages=2),
    Product(pixels=64, outputs=64, depth=16, stages=2),
    Product(pixels=32, outputs=128, depth=16, stages=2),
    Product(pixels=32, outputs=64, depth=16, stages=2),
    Product(pixels=16, outputs=64, depth=16, warps=2, stages=2),
    Product(pixels=16, outputs=16, depth=16, warps=1, stages=2),
)
"""From few programs to many; `depth` has no effect, as a whole pack is multiplied at once.

With 128 pixels and 256 outputs the sums of a thread do not fit into its registers.
"""

_MOST_BYTES = 32 * 1024
"""Of the sums of a program, were they in the precision of the factors."""


@triton.jit(do_not_specialize=["pixels", "image_pixels", "height", "width", "out_width"])
def _conv3x3_conv1x1(
    x, inner_weight, inner_bias, weight, bias, gate, residual, out,
    pixels, image_pixels, height, width, out_width,
    CHANNELS: tl.constexpr, OUTPUTS: tl.constexpr, BLOCKS: tl.constexpr,
    X_PITCH: tl.constexpr, RESIDUAL_PITCH: tl.constexpr, OUT_PITCH: tl.constexpr,
    STRIDE: tl.constexpr, RELU: tl.constexpr, WIDENED: tl.constexpr,
    PACK: tl.constexpr, PIXELS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    program = tl.program_id(0)
    pixel = program // BLOCKS * PIXELS + tl.arange(0, PIXELS)
    output = program % BLOCKS * WIDTH + tl.arange(0, WIDTH)
    row = pixel % image_pixels // out_width * STRIDE
    column = pixel % out_width * STRIDE
    centre = ((pixel // image_pixels * height + row) * width + column).to(tl.int64)[:, None]
    within = tl.arange(0, PACK)
    sums = tl.full([PIXELS, WIDTH], 0.0, tl.float32)
    for first in range(0, CHANNELS, PACK):
        channel = first + within
        inner = tl.full([PIXELS, PACK], 0.0, tl.float32)
        for tap in range(9):
            down = tap // 3 - 1
            across = tap % 3 - 1
            inside = (row + down >= 0) & (row + down < height) & (column + across >= 0) & (column + across < width)
            source = (centre + (down * width + across)) * X_PITCH
            a = tl.load(x + source + channel[None, :], mask=(inside & (pixel < pixels))[:, None], other=0.0)
            w = tl.load(inner_weight + (channel[None, :] * 9 + tap) * PACK + within[:, None])
            if WIDENED:
                a = a.to(tl.float32)
                w = w.to(tl.float32)
            inner = tl.dot(a, w, inner, input_precision="ieee")
        if inner_bias is not None:
            inner += tl.load(inner_bias + channel).to(tl.float32)[None, :]
        a = tl.where(inner < 0, 0.0, inner).to(x.dtype.element_ty)
        w = tl.load(weight + output[None, :] * CHANNELS + channel[:, None], mask=(output < OUTPUTS)[None, :], other=0.0)
        if WIDENED:
            a = a.to(tl.float32)
            w = w.to(tl.float32)
        sums = tl.dot(a, w, sums, input_precision="ieee")
    mask = (pixel < pixels)[:, None] & (output < OUTPUTS)[None, :]
    finish(sums, bias, gate, residual, out, pixel, output, mask, image_pixels, OUTPUTS, RESIDUAL_PITCH, OUT_PITCH, RELU)


def conv3x3_conv1x1(
    x: Tensor,
    inner_weight: Tensor,
    inner_bias: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    residual: Tensor | None,
    out: Tensor,
    *,
    stride: int = 1,
    relu: bool = True,
    settings: Product | None = None,
) -> None:
    """Write relu(weight * relu(inner_weight * x + inner_bias) + bias + residual); what is between them is rounded.

    Args:
        x: (N, C, H, W).
        inner_weight: (C, pack, 3, 3) as `grouped.packed` returns it, of a pack that is a power of two.
        inner_bias: (C,), or None.
        weight: (outputs, C, 1, 1).
        bias: (outputs,), or None.
        residual: as `out`, which it may be; or None.
        out: (N, outputs, ceil(H / stride), ceil(W / stride)); not `x`.
        stride: of the 3x3, in both directions.
        relu: whether negative results become 0; between the two convolutions they do.
        settings: a row of `PRODUCTS`.

    Raises:
        BackendError: shapes or strides that are not as they should be.
    """
    images, channels, height, width = x.shape
    outputs, pack = weight.shape[0], inner_weight.shape[1]
    launching.check_shape("out", out, (images, outputs, pieces(height, stride), pieces(width, stride)))
    launching.check_weight("inner_weight", inner_weight, x, (channels, pack, 3, 3))
    launching.check_weight("weight", weight, x, (outputs, channels, 1, 1))
    if inner_bias is not None:
        launching.check_weight("inner_bias", inner_bias, x, (channels,))
    if pack < SMALLEST_PRODUCT or pack & (pack - 1) or channels % pack:
        raise BackendError(f"packs of {pack} of {channels} channels: expected a power of two from 16 that divides them")
    row = settings or default(x, inner_weight, out)
    launching.launch(
        _conv3x3_conv1x1,
        (tiles(out, row),),
        {
            "x": x,
            "inner_weight": inner_weight,
            "inner_bias": inner_bias,
            "weight": weight,
            "height": height,
            "width": width,
            "out_width": out.shape[3],
            "CHANNELS": channels,
            "BLOCKS": pieces(outputs, row.outputs),
            "X_PITCH": launching.pitch("x", x),
            "STRIDE": stride,
            "WIDENED": launching.widened(x),
            "PACK": pack,
            "PIXELS": row.pixels,
            "WIDTH": row.outputs,
        }
        | ending(out, bias=bias, residual=residual, relu=relu),
        warps=row.warps,
        stages=row.stages,
    )


def candidates(x: Tensor, inner_weight: Tensor, out: Tensor) -> tuple[Product, ...]:
    """Return the rows of the table that are worth a try; none is where a pack is wider than 64 channels.

    Products of float32 take no tensor cores, and registers for their factors: half as many sums fit beside them.
    """
    most = _MOST_BYTES // x.element_size()
    rows = tuple(row for row in PRODUCTS if row.pixels * row.outputs <= most)
    return suiting(rows, out, depth=inner_weight.shape[1], itemsize=x.element_size())


def default(x: Tensor, inner_weight: Tensor, out: Tensor) -> Product:
    """Return the first row whose programs fill a GPU."""
    return filling(candidates(x, inner_weight, out), lambda row: tiles(out, row))
