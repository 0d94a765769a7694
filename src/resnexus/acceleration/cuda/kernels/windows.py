"""3x3 convolutions as nine matrix products, one for each tap: the kernel of `res2` and `grouped`.

The patches are never written down: each product reads the pixels under its tap, shifted, from the caches. A program
computes outputs of one group, from all input channels of that group; groups narrower than a product are joined first
(`grouped.packed`).
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from resnexus.acceleration.backends.contract import BackendError
from resnexus.acceleration.cuda.kernels import launching
from resnexus.acceleration.cuda.kernels.epilogue import add_parts, copying, ending, finish, workspace_numbers
from resnexus.acceleration.cuda.kernels.settings import Product, pieces, tiles

TAPS = 9


@triton.jit(do_not_specialize=["pixels", "image_pixels", "height", "width", "out_width"])
def _conv3x3(
    x, addend, weight, bias, gate, residual, out, parts,
    pixels, image_pixels, height, width, out_width,
    CHANNELS: tl.constexpr, OUTPUTS: tl.constexpr, BLOCKS: tl.constexpr, GROUP_OUTPUTS: tl.constexpr,
    X_PITCH: tl.constexpr, ADDEND_PITCH: tl.constexpr, RESIDUAL_PITCH: tl.constexpr, OUT_PITCH: tl.constexpr,
    STRIDE: tl.constexpr, RELU: tl.constexpr, SPLITS: tl.constexpr, DEPTHS: tl.constexpr, STEPS: tl.constexpr,
    WIDENED: tl.constexpr, PIXELS: tl.constexpr, WIDTH: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    program = tl.program_id(0)
    split = tl.program_id(1)
    block = program % BLOCKS
    pixel = program // BLOCKS * PIXELS + tl.arange(0, PIXELS)
    output = block * WIDTH + tl.arange(0, WIDTH)
    first_channel = block * WIDTH // GROUP_OUTPUTS * CHANNELS
    row = pixel % image_pixels // out_width * STRIDE
    column = pixel % out_width * STRIDE
    centre = ((pixel // image_pixels * height + row) * width + column).to(tl.int64)[:, None]
    sums = tl.full([PIXELS, WIDTH], 0.0, tl.float32)
    # Taps and blocks of channels in one loop, so that loads run ahead over both.
    for index in range(STEPS):
        step = split * STEPS + index
        tap = step // DEPTHS
        down = tap // 3 - 1
        across = tap % 3 - 1
        inside = (row + down >= 0) & (row + down < height) & (column + across >= 0) & (column + across < width)
        channel = step % DEPTHS * DEPTH + tl.arange(0, DEPTH)
        there = (inside & (pixel < pixels))[:, None] & (channel < CHANNELS)[None, :]
        source = centre + (down * width + across)
        a = tl.load(x + source * X_PITCH + (first_channel + channel)[None, :], mask=there, other=0.0)
        if addend is not None:
            b = tl.load(addend + source * ADDEND_PITCH + (first_channel + channel)[None, :], mask=there, other=0.0)
            a = (a.to(tl.float32) + b.to(tl.float32)).to(x.dtype.element_ty)
        there = (channel < CHANNELS)[:, None] & (output < OUTPUTS)[None, :]
        w = tl.load(weight + (output[None, :] * 9 + tap) * CHANNELS + channel[:, None], mask=there, other=0.0)
        if WIDENED:
            a = a.to(tl.float32)
            w = w.to(tl.float32)
        sums = tl.dot(a, w, sums, input_precision="ieee")
    mask = (pixel < pixels)[:, None] & (output < OUTPUTS)[None, :]
    if SPLITS == 1:
        finish(
            sums, bias, gate, residual, out, pixel, output, mask, image_pixels, OUTPUTS, RESIDUAL_PITCH, OUT_PITCH, RELU
        )
    else:
        part = (pixel.to(tl.int64) + split * pixels)[:, None] * OUTPUTS
        tl.store(parts + part + output[None, :], sums, mask=mask)


def convolve(
    x: Tensor,
    addend: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    residual: Tensor | None,
    out: Tensor,
    row: Product,
    *,
    stride: int,
    relu: bool,
    workspace: Tensor | None = None,
) -> None:
    """Write relu(weight * (x + addend) + bias + residual), zeros around the image; x + addend is rounded.

    Args:
        x: (N, C, H, W).
        addend: as `x`, or None.
        weight: (outputs, C / groups, 3, 3).
        bias: (outputs,), or None.
        residual: as `out`, or None.
        out: (N, outputs, ceil(H / stride), ceil(W / stride)).
        row: how the work is cut up; with groups, `row.outputs` divides the outputs of a group. `row.splits` divides
            the nine taps, or taps x blocks of `row.depth` channels.
        stride: in both directions.
        relu: whether negative results become 0.
        workspace: (numbers,) float32, as many as `epilogue.workspace_numbers(out, row)`.

    Raises:
        BackendError: shapes, strides or a workspace that are not as they should be.
    """
    images, channels, height, width = x.shape
    outputs, per_group = weight.shape[:2]
    groups = pieces(channels, per_group)
    out_height, out_width = pieces(height, stride), pieces(width, stride)
    launching.check_shape("out", out, (images, outputs, out_height, out_width))
    launching.check_weight("weight", weight, x, (outputs, per_group, 3, 3))
    if addend is not None:
        launching.check_shape("addend", addend, tuple(x.shape))
    if groups * per_group != channels or outputs % groups or (groups > 1 and outputs // groups % row.outputs):
        raise BackendError(
            f"weight {tuple(weight.shape)} for {channels} channels, {row.outputs} outputs at a time: expected groups "
            "whose outputs are a multiple of those; join narrower ones with grouped.packed"
        )
    depths = pieces(per_group, row.depth)
    if TAPS * depths % row.splits:
        raise BackendError(f"splits={row.splits}: expected a divisor of {TAPS} taps x {depths} blocks of channels")
    end = ending(out, bias=bias, residual=residual, relu=relu)
    launching.check_workspace(workspace, workspace_numbers(out, row))
    launching.launch(
        _conv3x3,
        (tiles(out, row), row.splits),
        {
            "x": x,
            "addend": addend,
            "weight": weight,
            "parts": workspace,
            "height": height,
            "width": width,
            "out_width": out_width,
            "CHANNELS": per_group,
            "BLOCKS": pieces(outputs, row.outputs),
            "GROUP_OUTPUTS": outputs // groups,
            "X_PITCH": launching.pitch("x", x),
            "ADDEND_PITCH": 0 if addend is None else launching.pitch("addend", addend),
            "STRIDE": stride,
            "SPLITS": row.splits,
            "DEPTHS": depths,
            "STEPS": TAPS * depths // row.splits,
            "WIDENED": launching.widened(x),
            "PIXELS": row.pixels,
            "WIDTH": row.outputs,
            "DEPTH": row.depth,
        }
        | end,
        warps=row.warps,
        stages=row.stages,
    )
    add_parts(workspace, row.splits, end | copying(out))
