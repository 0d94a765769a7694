"""The mean over the image, alone and with the last layer.

Floor of `mean`: the bytes of `x` by the bandwidth; at batch 128, 7x7 pixels of 2048 channels in half precision, 6
microseconds at 4.2 TB/s. Floor of `mean_linear`: those and the bytes of the weight, 4 MB for 1000 classes; every block of
classes reads `x` again, from the L2 cache.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from resnexus.acceleration.cuda.kernels import launching
from resnexus.acceleration.cuda.kernels.epilogue import add_parts, ending, finish, workspace_numbers
from resnexus.acceleration.cuda.kernels.settings import Product, Tile, filling, pieces, suiting, tiles

MEAN = (
    Tile(pixels=8, channels=256),
    Tile(pixels=8, channels=128),
    Tile(pixels=16, channels=64),
    Tile(pixels=32, channels=32),
    Tile(pixels=32, channels=16, warps=2),
)
"""From large to small."""

MEAN_LINEAR = (
    Product(pixels=128, outputs=128, depth=32, warps=8),
    Product(pixels=64, outputs=128, depth=32),
    Product(pixels=32, outputs=64, depth=64, splits=2),
    Product(pixels=16, outputs=128, depth=64, splits=8),
    Product(pixels=16, outputs=64, depth=64, splits=8),
    Product(pixels=16, outputs=64, depth=64, splits=16),
    Product(pixels=16, outputs=16, depth=32, warps=1),
)
"""From few programs to many, by and large; `pixels` are images."""


@triton.jit(do_not_specialize=["pixels"])
def _mean(
    x, out,
    pixels,
    CHANNELS: tl.constexpr, BLOCKS: tl.constexpr, X_PITCH: tl.constexpr, OUT_PITCH: tl.constexpr,
    PIXELS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    image = tl.program_id(0) // BLOCKS
    channel = tl.program_id(0) % BLOCKS * WIDTH + tl.arange(0, WIDTH)
    start = x + image.to(tl.int64) * pixels * X_PITCH
    total = tl.full([PIXELS, WIDTH], 0.0, tl.float32)
    for first in range(0, pixels, PIXELS):
        pixel = first + tl.arange(0, PIXELS)
        mask = (pixel < pixels)[:, None] & (channel < CHANNELS)[None, :]
        total += tl.load(start + pixel[:, None] * X_PITCH + channel[None, :], mask=mask, other=0.0).to(tl.float32)
    mean = tl.sum(total, 0) / pixels
    tl.store(out + image * OUT_PITCH + channel, mean.to(out.dtype.element_ty), mask=channel < CHANNELS)


@triton.jit(do_not_specialize=["pixels", "image_pixels", "x_pixels"])
def _mean_linear(
    x, weight, bias, gate, residual, out, parts,
    pixels, image_pixels, x_pixels,
    CHANNELS: tl.constexpr, OUTPUTS: tl.constexpr, BLOCKS: tl.constexpr,
    X_PITCH: tl.constexpr, RESIDUAL_PITCH: tl.constexpr, OUT_PITCH: tl.constexpr,
    RELU: tl.constexpr, SPLITS: tl.constexpr, STEPS: tl.constexpr,
    WIDENED: tl.constexpr, PIXELS: tl.constexpr, WIDTH: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    # What is written has one pixel for each image, what is read `x_pixels`.
    program = tl.program_id(0)
    split = tl.program_id(1)
    image = program // BLOCKS * PIXELS + tl.arange(0, PIXELS)
    output = program % BLOCKS * WIDTH + tl.arange(0, WIDTH)
    start = x + (image.to(tl.int64) * x_pixels * X_PITCH)[:, None]
    sums = tl.full([PIXELS, WIDTH], 0.0, tl.float32)
    for step in range(split * STEPS, split * STEPS + STEPS):
        channel = step * DEPTH + tl.arange(0, DEPTH)
        there = (image < pixels)[:, None] & (channel < CHANNELS)[None, :]
        total = tl.full([PIXELS, DEPTH], 0.0, tl.float32)
        for pixel in range(0, x_pixels):
            total += tl.load(start + (pixel * X_PITCH + channel)[None, :], mask=there, other=0.0).to(tl.float32)
        mean = (total / x_pixels).to(x.dtype.element_ty)
        there = (channel < CHANNELS)[:, None] & (output < OUTPUTS)[None, :]
        w = tl.load(weight + output[None, :] * CHANNELS + channel[:, None], mask=there, other=0.0)
        if WIDENED:
            mean = mean.to(tl.float32)
            w = w.to(tl.float32)
        sums = tl.dot(mean, w, sums, input_precision="ieee")
    mask = (image < pixels)[:, None] & (output < OUTPUTS)[None, :]
    if SPLITS == 1:
        finish(
            sums, bias, gate, residual, out, image, output, mask, image_pixels, OUTPUTS, RESIDUAL_PITCH, OUT_PITCH, RELU
        )
    else:
        tl.store(parts + (split * pixels + image)[:, None] * OUTPUTS + output[None, :], sums, mask=mask)


def mean(x: Tensor, out: Tensor, *, settings: Tile | None = None) -> None:
    """Write the mean over the image.

    Args:
        x: (N, C, H, W).
        out: (N, C).
        settings: a row of `MEAN`.

    Raises:
        BackendError: shapes or strides that are not as they should be.
    """
    images, channels, height, width = x.shape
    launching.check_shape("out", out, (images, channels))
    row = settings or mean_default(x)
    blocks = pieces(channels, row.channels)
    launching.launch(
        _mean,
        (images * blocks,),
        {
            "x": x,
            "out": out,
            "pixels": height * width,
            "CHANNELS": channels,
            "BLOCKS": blocks,
            "X_PITCH": launching.pitch("x", x),
            "OUT_PITCH": launching.pitch("out", out),
            "PIXELS": row.pixels,
            "WIDTH": row.channels,
        },
        warps=row.warps,
    )


def mean_linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    out: Tensor,
    *,
    workspace: Tensor | None = None,
    settings: Product | None = None,
) -> None:
    """Write weight * mean(x) + bias, the mean over the image and rounded to the dtype of `x`.

    Args:
        x: (N, C, H, W).
        weight: (classes, C).
        bias: (classes,), or None.
        out: (N, classes).
        workspace: float32, as many numbers as `epilogue.workspace_numbers(out, settings)`.
        settings: a row of `MEAN_LINEAR`, whose `pixels` are images.

    Raises:
        BackendError: shapes, strides or a workspace that are not as they should be.
    """
    images, channels, height, width = x.shape
    outputs = weight.shape[0]
    launching.check_shape("out", out, (images, outputs))
    launching.check_weight("weight", weight, x, (outputs, channels))
    end = ending(out[:, :, None, None], bias=bias)
    row = settings or mean_linear_default(x, out)
    launching.check_workspace(workspace, workspace_numbers(out, row))
    blocks = pieces(outputs, row.outputs)
    launching.launch(
        _mean_linear,
        (pieces(images, row.pixels) * blocks, row.splits),
        {
            "x": x,
            "weight": weight,
            "parts": workspace,
            "x_pixels": height * width,
            "CHANNELS": channels,
            "BLOCKS": blocks,
            "X_PITCH": launching.pitch("x", x),
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


def mean_candidates(x: Tensor) -> tuple[Tile, ...]:
    """Return the rows that are worth a try: those at most twice as wide as there are channels."""
    return tuple(row for row in MEAN if row.channels < 2 * x.shape[1]) or MEAN[-1:]


def mean_default(x: Tensor) -> Tile:
    """Return the widest row whose programs fill a GPU."""
    return filling(mean_candidates(x), lambda row: x.shape[0] * pieces(x.shape[1], row.channels))


def mean_linear_candidates(x: Tensor, out: Tensor) -> tuple[Product, ...]:
    """Return the rows that are worth a try."""
    return suiting(MEAN_LINEAR, out[:, :, None, None], depth=x.shape[1], itemsize=x.element_size())


def mean_linear_default(x: Tensor, out: Tensor) -> Product:
    """Return the first row whose programs fill a GPU."""
    rows = mean_linear_candidates(x, out)
    return filling(rows, lambda row: tiles(out[:, :, None, None], row) * row.splits)
