"""The first convolution, of an image's few channels: one matrix product of patches.

The 27 numbers under a 3x3 window of three channels, 147 under one of 7x7, are gathered as the columns of a product,
as they lie in the weight.

Floor: the larger of the bytes of `x` and `out` by the bandwidth, and 2 x pixels x patch x outputs by the rate of the
tensor cores, a patch counted as a multiple of 32. 3x3 to 32 channels at batch 128, 224x224 in half precision: 141 MB,
34 microseconds at 4.2 TB/s.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from resnexus.acceleration.backends.contract import BackendError
from resnexus.acceleration.cuda.kernels import launching
from resnexus.acceleration.cuda.kernels.epilogue import ending, finish
from resnexus.acceleration.cuda.kernels.settings import Product, filling, pieces, suiting, tiles

PRODUCTS = (
    Product(pixels=128, outputs=64, depth=32),
    Product(pixels=128, outputs=32, depth=32),
    Product(pixels=64, outputs=64, depth=32),
    Product(pixels=64, outputs=32, depth=32),
    Product(pixels=32, outputs=32, depth=32, warps=2),
    Product(pixels=16, outputs=32, depth=32, warps=1),
    Product(pixels=16, outputs=16, depth=32, warps=1),
)
"""From few programs to many; `depth` counts the numbers of a patch."""

KERNELS = (3, 7)
"""Rows and columns of a window."""


@triton.jit(do_not_specialize=["pixels", "image_pixels", "height", "width", "out_width"])
def _stem(
    x, weight, bias, gate, residual, out,
    pixels, image_pixels, height, width, out_width,
    CHANNELS: tl.constexpr, OUTPUTS: tl.constexpr, BLOCKS: tl.constexpr,
    X_PITCH: tl.constexpr, RESIDUAL_PITCH: tl.constexpr, OUT_PITCH: tl.constexpr,
    KERNEL: tl.constexpr, STRIDE: tl.constexpr, RELU: tl.constexpr, WIDENED: tl.constexpr,
    PATCH: tl.constexpr, PIXELS: tl.constexpr, WIDTH: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    program = tl.program_id(0)
    pixel = program // BLOCKS * PIXELS + tl.arange(0, PIXELS)
    output = program % BLOCKS * WIDTH + tl.arange(0, WIDTH)
    row = (pixel % image_pixels // out_width * STRIDE - KERNEL // 2)[:, None]
    column = (pixel % out_width * STRIDE - KERNEL // 2)[:, None]
    corner = (pixel // image_pixels * height)[:, None] + row
    start = x + (corner * width + column).to(tl.int64) * X_PITCH
    sums = tl.full([PIXELS, WIDTH], 0.0, tl.float32)
    for first in range(0, PATCH, DEPTH):
        number = first + tl.arange(0, DEPTH)
        down = (number // (KERNEL * CHANNELS))[None, :]
        across = (number // CHANNELS % KERNEL)[None, :]
        inside = (row + down >= 0) & (row + down < height) & (column + across >= 0) & (column + across < width)
        there = inside & (pixel < pixels)[:, None] & (number < PATCH)[None, :]
        shift = (down * width + across) * X_PITCH + (number % CHANNELS)[None, :]
        a = tl.load(start + shift, mask=there, other=0.0)
        there = (number < PATCH)[:, None] & (output < OUTPUTS)[None, :]
        w = tl.load(weight + output[None, :] * PATCH + number[:, None], mask=there, other=0.0)
        if WIDENED:
            a = a.to(tl.float32)
            w = w.to(tl.float32)
        sums = tl.dot(a, w, sums, input_precision="ieee")
    mask = (pixel < pixels)[:, None] & (output < OUTPUTS)[None, :]
    finish(sums, bias, gate, residual, out, pixel, output, mask, image_pixels, OUTPUTS, RESIDUAL_PITCH, OUT_PITCH, RELU)


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, out: Tensor, *, stride: int = 2, settings: Product | None = None
) -> None:
    """Write relu(weight * x + bias), with zeros around the image.

    Args:
        x: (N, C, H, W), of few channels.
        weight: (outputs, C, 3, 3) or (outputs, C, 7, 7).
        bias: (outputs,), or None.
        out: (N, outputs, ceil(H / stride), ceil(W / stride)).
        stride: in both directions.
        settings: a row of `PRODUCTS`.

    Raises:
        BackendError: a window of another size, or shapes or strides that are not as they should be.
    """
    images, channels, height, width = x.shape
    outputs, kernel = weight.shape[0], weight.shape[-1]
    if kernel not in KERNELS:
        raise BackendError(f"a stem's window of {kernel}x{kernel}: expected 3x3 or 7x7")
    launching.check_shape("out", out, (images, outputs, pieces(height, stride), pieces(width, stride)))
    launching.check_weight("weight", weight, x, (outputs, channels, kernel, kernel))
    row = settings or default(x, weight, out)
    launching.launch(
        _stem,
        (tiles(out, row),),
        {
            "x": x,
            "weight": weight,
            "height": height,
            "width": width,
            "out_width": out.shape[3],
            "CHANNELS": channels,
            "BLOCKS": pieces(outputs, row.outputs),
            "X_PITCH": launching.pitch("x", x),
            "KERNEL": kernel,
            "STRIDE": stride,
            "WIDENED": launching.widened(x),
            "PATCH": weight[0].numel(),
            "PIXELS": row.pixels,
            "WIDTH": row.outputs,
            "DEPTH": row.depth,
        }
        | ending(out, bias=bias, relu=True),
        warps=row.warps,
        stages=row.stages,
    )


def candidates(x: Tensor, weight: Tensor, out: Tensor) -> tuple[Product, ...]:
    """Return the rows of the table that are worth a try."""
    return suiting(PRODUCTS, out, depth=weight[0].numel(), itemsize=x.element_size())


def default(x: Tensor, weight: Tensor, out: Tensor) -> Product:
    """Return the first row whose programs fill a GPU."""
    return filling(candidates(x, weight, out), lambda row: tiles(out, row))
