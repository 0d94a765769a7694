"""Squeeze-and-excitation: sigmoid(w2 relu(w1 mean(x) + b1) + b2) in two kernels, and what the gates are for in one.

Floor of `excite`: the bytes of `x` by the bandwidth, and two launches. The first product is linear in the mean,
so that every program multiplies the sums of its own pixels and channels and leaves a part of the squeezed layer;
no program waits for the mean of all. Floor of `apply`: the bytes of `branch`, `shortcut` and `out` by the
bandwidth. SE_ResNeXt50_32x4d at batch 128 in half precision: 4.2 GB, 1.0 ms at 4.2 TB/s.

Hu et al. 2017, arXiv:1709.01507.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from resnexus.acceleration.cuda.kernels import launching
from resnexus.acceleration.cuda.kernels.settings import Tile, filling, pieces

EXCITE = (
    Tile(pixels=64, channels=64),
    Tile(pixels=32, channels=64),
    Tile(pixels=64, channels=32),
    Tile(pixels=32, channels=64, splits=4),
    Tile(pixels=32, channels=64, splits=7),
    Tile(pixels=64, channels=64, splits=16),
    Tile(pixels=64, channels=64, splits=49),
)
"""From few programs to many; `splits` are of the pixels of an image."""

APPLY = (
    Tile(pixels=64, channels=64, warps=8),
    Tile(pixels=16, channels=128),
    Tile(pixels=16, channels=64),
    Tile(pixels=8, channels=64, warps=2),
    Tile(pixels=4, channels=64, warps=1),
)
"""From large to small."""

_HIDDEN = 32
_PARTS = 64


@triton.jit(do_not_specialize=["pixels", "split_pixels"])
def _squeeze(
    x, w1, parts,
    pixels, split_pixels,
    CHANNELS: tl.constexpr, HIDDEN: tl.constexpr, X_PITCH: tl.constexpr, BLOCKS: tl.constexpr, SPLITS: tl.constexpr,
    STEPS: tl.constexpr, PIXELS: tl.constexpr, WIDTH: tl.constexpr, HIDDEN_WIDTH: tl.constexpr,
):  # fmt: skip
    image = tl.program_id(0) // BLOCKS
    block = tl.program_id(0) % BLOCKS
    split = tl.program_id(1)
    channel = block * WIDTH + tl.arange(0, WIDTH)
    start = x + image.to(tl.int64) * pixels * X_PITCH
    last = tl.minimum(split * split_pixels + split_pixels, pixels)
    total = tl.full([PIXELS, WIDTH], 0.0, tl.float32)
    for step in range(STEPS):
        pixel = split * split_pixels + step * PIXELS + tl.arange(0, PIXELS)
        mask = (pixel < last)[:, None] & (channel < CHANNELS)[None, :]
        total += tl.load(start + pixel[:, None] * X_PITCH + channel[None, :], mask=mask, other=0.0).to(tl.float32)
    mean = tl.sum(total, 0) / pixels
    part = (image * BLOCKS + block) * SPLITS + split
    for first in range(0, HIDDEN, HIDDEN_WIDTH):
        hidden = first + tl.arange(0, HIDDEN_WIDTH)
        mask = (hidden < HIDDEN)[:, None] & (channel < CHANNELS)[None, :]
        w = tl.load(w1 + hidden[:, None] * CHANNELS + channel[None, :], mask=mask, other=0.0).to(tl.float32)
        # Channels that are not there have a weight of 0, and a mean of 0.
        tl.store(parts + part.to(tl.int64) * HIDDEN + hidden, tl.sum(w * mean[None, :], 1), mask=hidden < HIDDEN)


@triton.jit
def _excite(
    parts, b1, w2, b2, out,
    OUTPUTS: tl.constexpr, HIDDEN: tl.constexpr, OUT_PITCH: tl.constexpr, BLOCKS: tl.constexpr,
    PARTS: tl.constexpr, PARTS_WIDTH: tl.constexpr, WIDTH: tl.constexpr, HIDDEN_WIDTH: tl.constexpr,
):  # fmt: skip
    image = tl.program_id(0) // BLOCKS
    output = tl.program_id(0) % BLOCKS * WIDTH + tl.arange(0, WIDTH)
    sums = tl.load(b2 + output, mask=output < OUTPUTS, other=0.0).to(tl.float32)
    for first in range(0, HIDDEN, HIDDEN_WIDTH):
        hidden = first + tl.arange(0, HIDDEN_WIDTH)
        total = tl.full([PARTS_WIDTH, HIDDEN_WIDTH], 0.0, tl.float32)
        for first_part in range(0, PARTS, PARTS_WIDTH):
            part = first_part + tl.arange(0, PARTS_WIDTH)
            mask = (part < PARTS)[:, None] & (hidden < HIDDEN)[None, :]
            start = (image.to(tl.int64) * PARTS + part)[:, None] * HIDDEN
            total += tl.load(parts + start + hidden[None, :], mask=mask, other=0.0)
        squeezed = tl.sum(total, 0) + tl.load(b1 + hidden, mask=hidden < HIDDEN, other=0.0).to(tl.float32)
        squeezed = tl.where(squeezed < 0, 0.0, squeezed)
        mask = (output < OUTPUTS)[:, None] & (hidden < HIDDEN)[None, :]
        w = tl.load(w2 + output[:, None] * HIDDEN + hidden[None, :], mask=mask, other=0.0).to(tl.float32)
        sums += tl.sum(w * squeezed[None, :], 1)
    gates = 1.0 / (1.0 + tl.exp(-sums))
    tl.store(out + image * OUT_PITCH + output, gates.to(out.dtype.element_ty), mask=output < OUTPUTS)


@triton.jit(do_not_specialize=["pixels"])
def _apply(
    branch, gate, shortcut, out,
    pixels,
    CHANNELS: tl.constexpr, BLOCKS: tl.constexpr,
    BRANCH_PITCH: tl.constexpr, GATE_PITCH: tl.constexpr, SHORTCUT_PITCH: tl.constexpr, OUT_PITCH: tl.constexpr,
    PIXELS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    program = tl.program_id(0)
    row_blocks = (pixels + PIXELS - 1) // PIXELS
    image = program // BLOCKS // row_blocks
    pixel = program // BLOCKS % row_blocks * PIXELS + tl.arange(0, PIXELS)
    channel = program % BLOCKS * WIDTH + tl.arange(0, WIDTH)
    start = (image.to(tl.int64) * pixels + pixel)[:, None]
    mask = (pixel < pixels)[:, None] & (channel < CHANNELS)[None, :]
    found = tl.load(branch + start * BRANCH_PITCH + channel[None, :], mask=mask, other=0.0).to(tl.float32)
    gates = tl.load(gate + image * GATE_PITCH + channel, mask=channel < CHANNELS, other=0.0).to(tl.float32)
    found *= gates[None, :]
    found += tl.load(shortcut + start * SHORTCUT_PITCH + channel[None, :], mask=mask, other=0.0).to(tl.float32)
    found = tl.where(found < 0, 0.0, found)
    tl.store(out + start * OUT_PITCH + channel[None, :], found.to(out.dtype.element_ty), mask=mask)


def excite(
    x: Tensor,
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    out: Tensor,
    *,
    workspace: Tensor,
    settings: Tile | None = None,
) -> None:
    """Write sigmoid(w2 relu(w1 mean(x) + b1) + b2), the mean over the image.

    Nothing between `x` and `out` is rounded to half precision.

    Args:
        x: (N, C, H, W).
        w1: (squeezed, C).
        b1: (squeezed,).
        w2: (gates, squeezed); as many gates as channels, unless the last convolution of the branch comes after them.
        b2: (gates,).
        out: (N, gates).
        workspace: (numbers,) float32, as many as `excite_workspace_numbers` says.
        settings: a row of `EXCITE`.

    Raises:
        BackendError: shapes, strides or a workspace that are not as they should be.
    """
    images, channels, height, width = x.shape
    hidden, outputs = w1.shape[0], w2.shape[0]
    row = settings or excite_default(x)
    launching.check_shape("out", out, (images, outputs))
    launching.check_weight("w1", w1, x, (hidden, channels))
    launching.check_weight("b1", b1, x, (hidden,))
    launching.check_weight("w2", w2, x, (outputs, hidden))
    launching.check_weight("b2", b2, x, (outputs,))
    launching.check_workspace(workspace, excite_workspace_numbers(x, hidden, row))
    blocks, out_blocks = pieces(channels, row.channels), pieces(outputs, row.channels)
    shared = {"parts": workspace, "HIDDEN": hidden, "WIDTH": row.channels, "HIDDEN_WIDTH": _HIDDEN}
    launching.launch(
        _squeeze,
        (images * blocks, row.splits),
        {
            "x": x,
            "w1": w1,
            "pixels": height * width,
            "split_pixels": pieces(height * width, row.splits),
            "CHANNELS": channels,
            "X_PITCH": launching.pitch("x", x),
            "BLOCKS": blocks,
            "SPLITS": row.splits,
            "STEPS": pieces(pieces(height * width, row.splits), row.pixels),
            "PIXELS": row.pixels,
        }
        | shared,
        warps=row.warps,
    )
    launching.launch(
        _excite,
        (images * out_blocks,),
        {
            "b1": b1,
            "w2": w2,
            "b2": b2,
            "out": out,
            "OUTPUTS": outputs,
            "OUT_PITCH": launching.pitch("out", out),
            "BLOCKS": out_blocks,
            "PARTS": blocks * row.splits,
            "PARTS_WIDTH": _PARTS,
        }
        | shared,
        warps=row.warps,
    )


def apply(branch: Tensor, gate: Tensor, shortcut: Tensor, out: Tensor, *, settings: Tile | None = None) -> None:
    """Write relu(branch * gate + shortcut).

    Args:
        branch: (N, C, H, W).
        gate: (N, C).
        shortcut: as `branch`.
        out: as `branch`, which it may be.
        settings: a row of `APPLY`.

    Raises:
        BackendError: shapes or strides that are not as they should be.
    """
    images, channels, height, width = branch.shape
    launching.check_shape("gate", gate, (images, channels))
    for name, tensor in (("shortcut", shortcut), ("out", out)):
        launching.check_shape(name, tensor, tuple(branch.shape))
    row = settings or apply_default(branch)
    launching.launch(
        _apply,
        (_apply_programs(branch, row),),
        {
            "branch": branch,
            "gate": gate,
            "shortcut": shortcut,
            "out": out,
            "pixels": height * width,
            "CHANNELS": channels,
            "BLOCKS": pieces(channels, row.channels),
            "BRANCH_PITCH": launching.pitch("branch", branch),
            "GATE_PITCH": launching.pitch("gate", gate),
            "SHORTCUT_PITCH": launching.pitch("shortcut", shortcut),
            "OUT_PITCH": launching.pitch("out", out),
            "PIXELS": row.pixels,
            "WIDTH": row.channels,
        },
        warps=row.warps,
    )


def excite_candidates(x: Tensor) -> tuple[Tile, ...]:
    """Return the rows of the table that are worth a try: those that leave every program half a tile of pixels."""
    pixels = x.shape[2] * x.shape[3]
    return tuple(row for row in EXCITE if row.splits == 1 or row.splits * row.pixels < 2 * pixels)


def excite_default(x: Tensor) -> Tile:
    """Return the row with the fewest programs that still fill a GPU."""
    return filling(excite_candidates(x), lambda row: x.shape[0] * pieces(x.shape[1], row.channels) * row.splits)


def excite_workspace_numbers(x: Tensor, hidden: int, settings: Tile) -> int:
    """Return how many float32 numbers `excite` needs as a workspace, for `hidden` squeezed channels."""
    return x.shape[0] * pieces(x.shape[1], settings.channels) * settings.splits * hidden


def apply_candidates(branch: Tensor) -> tuple[Tile, ...]:
    """Return the rows of the table that are worth a try: those at most twice as wide as there are channels."""
    return tuple(row for row in APPLY if row.channels < 2 * branch.shape[1]) or APPLY[-1:]


def apply_default(branch: Tensor) -> Tile:
    """Return the largest tile that leaves enough programs to fill a GPU."""
    return filling(apply_candidates(branch), lambda row: _apply_programs(branch, row))


def _apply_programs(branch: Tensor, row: Tile) -> int:
    images, channels, height, width = branch.shape
    return images * pieces(height * width, row.pixels) * pieces(channels, row.channels)
