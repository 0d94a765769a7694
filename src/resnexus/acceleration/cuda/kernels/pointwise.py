"""1x1 convolutions: one matrix product of pixels and channels, with all that can follow it in the same kernel.

Floor: the larger of the bytes of `x`, `weight`, `residual` and `out` by the bandwidth, and 2 x pixels x channels x
outputs by the rate of the tensor cores. In stage 3 of a batch of one, 49 pixels of 2048 channels to 512: 2.1 MB of
weights, half a microsecond; 8 tiles of 64 outputs would leave 124 of 132 multiprocessors idle, so that the sum over
the channels is cut into parts, which a second kernel adds in a fixed order.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from resnexus.acceleration.cuda.kernels import launching
from resnexus.acceleration.cuda.kernels.epilogue import (
    add_parts,
    copying,
    ending,
    finish,
    workspace_numbers,
    write_again,
)
from resnexus.acceleration.cuda.kernels.settings import Product, filling, pieces, suiting, tiles

PRODUCTS = (
    Product(pixels=128, outputs=128, depth=64, warps=8),
    Product(pixels=128, outputs=128, depth=32, warps=8),
    Product(pixels=128, outputs=64, depth=64),
    Product(pixels=64, outputs=128, depth=64),
    Product(pixels=64, outputs=64, depth=64, stages=4),
    Product(pixels=64, outputs=64, depth=32, stages=4),
    Product(pixels=32, outputs=64, depth=64, stages=4),
    Product(pixels=32, outputs=32, depth=64, stages=4),
    Product(pixels=16, outputs=64, depth=64, stages=4),
    Product(pixels=64, outputs=64, depth=64, splits=2),
    Product(pixels=64, outputs=64, depth=64, splits=4),
    Product(pixels=64, outputs=32, depth=64, splits=4),
    Product(pixels=32, outputs=32, depth=64, splits=4),
    Product(pixels=32, outputs=32, depth=64, splits=8),
    Product(pixels=16, outputs=16, depth=32, warps=1),
)
"""From few programs to many, by and large."""


@triton.jit(do_not_specialize=["pixels", "image_pixels", "height", "width", "out_width"])
def _conv1x1(
    x, weight, bias, gate, residual, out, copy, parts,
    pixels, image_pixels, height, width, out_width,
    CHANNELS: tl.constexpr, OUTPUTS: tl.constexpr, BLOCKS: tl.constexpr,
    X_PITCH: tl.constexpr, RESIDUAL_PITCH: tl.constexpr, OUT_PITCH: tl.constexpr,
    COPIED_FROM: tl.constexpr, COPY_PITCH: tl.constexpr,
    STRIDE: tl.constexpr, RELU: tl.constexpr, SPLITS: tl.constexpr, STEPS: tl.constexpr,
    WIDENED: tl.constexpr, PIXELS: tl.constexpr, WIDTH: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    # All outputs of some pixels are neighbours: the weight stays in the caches, and pixels are read from memory once.
    program = tl.program_id(0)
    split = tl.program_id(1)
    pixel = program // BLOCKS * PIXELS + tl.arange(0, PIXELS)
    output = program % BLOCKS * WIDTH + tl.arange(0, WIDTH)
    source = pixel
    if STRIDE != 1:
        row = pixel % image_pixels // out_width * STRIDE
        source = (pixel // image_pixels * height + row) * width + pixel % out_width * STRIDE
    start = x + source.to(tl.int64)[:, None] * X_PITCH
    sums = tl.full([PIXELS, WIDTH], 0.0, tl.float32)
    for step in range(STEPS):
        channel = (split * STEPS + step) * DEPTH + tl.arange(0, DEPTH)
        there = (pixel < pixels)[:, None] & (channel < CHANNELS)[None, :]
        a = tl.load(start + channel[None, :], mask=there, other=0.0)
        there = (channel < CHANNELS)[:, None] & (output < OUTPUTS)[None, :]
        w = tl.load(weight + output[None, :] * CHANNELS + channel[:, None], mask=there, other=0.0)
        if WIDENED:
            a = a.to(tl.float32)
            w = w.to(tl.float32)
        sums = tl.dot(a, w, sums, input_precision="ieee")
    mask = (pixel < pixels)[:, None] & (output < OUTPUTS)[None, :]
    if SPLITS == 1:
        done = finish(
            sums, bias, gate, residual, out, pixel, output, mask, image_pixels, OUTPUTS, RESIDUAL_PITCH, OUT_PITCH, RELU
        )
        if copy is not None:
            write_again(done, copy, pixel, output, mask, COPIED_FROM, COPY_PITCH)
    else:
        part = (pixel.to(tl.int64) + split * pixels)[:, None] * OUTPUTS
        tl.store(parts + part + output[None, :], sums, mask=mask)


def conv1x1(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    residual: Tensor | None,
    out: Tensor,
    *,
    relu: bool,
    stride: int = 1,
    gate: Tensor | None = None,
    copy: Tensor | None = None,
    workspace: Tensor | None = None,
    settings: Product | None = None,
) -> None:
    """Write relu(gate * (weight * x + bias) + residual).

    Args:
        x: (N, C, H, W).
        weight: (outputs, C, 1, 1).
        bias: (outputs,), or None.
        residual: as `out`, which it may be; or None.
        out: (N, outputs, ceil(H / stride), ceil(W / stride)).
        relu: whether negative results become 0.
        stride: in both directions.
        gate: (N, outputs) contiguous, or None.
        copy: where the last outputs go, too, as many as it has channels, apart from `out`; or None.
        workspace: (numbers,) float32, as many as `epilogue.workspace_numbers(out, settings)`.
        settings: a row of `PRODUCTS`.

    Raises:
        BackendError: shapes, strides or a workspace that are not as they should be.
    """
    images, channels, height, width = x.shape
    outputs, out_height, out_width = weight.shape[0], pieces(height, stride), pieces(width, stride)
    launching.check_shape("out", out, (images, outputs, out_height, out_width))
    launching.check_weight("weight", weight, x, (outputs, channels, 1, 1))
    end = ending(out, bias=bias, gate=gate, residual=residual, relu=relu) | copying(out, copy)
    row = settings or default(x, out)
    launching.check_workspace(workspace, workspace_numbers(out, row))
    launching.launch(
        _conv1x1,
        (tiles(out, row), row.splits),
        {
            "x": x,
            "weight": weight,
            "parts": workspace,
            "height": height,
            "width": width,
            "out_width": out_width,
            "CHANNELS": channels,
            "BLOCKS": pieces(outputs, row.outputs),
            "X_PITCH": launching.pitch("x", x),
            "STRIDE": stride,
            "SPLITS": row.splits,
            "STEPS": pieces(pieces(channels, row.depth), row.splits),
            "WIDENED": launching.widened(x),
            "PIXELS": row.pixels,
            "WIDTH": row.outputs,
            "DEPTH": row.depth,
        }
        | end,
        warps=row.warps,
        stages=row.stages,
    )
    add_parts(workspace, row.splits, end)


def candidates(x: Tensor, out: Tensor) -> tuple[Product, ...]:
    """Return the rows of the table that are worth a try."""
    return suiting(PRODUCTS, out, depth=x.shape[1], itemsize=x.element_size())


def default(x: Tensor, out: Tensor) -> Product:
    """Return the first row whose programs fill a GPU."""
    return filling(candidates(x, out), lambda row: tiles(out, row) * row.splits)
