"""The mean over the image, alone and with the last layer after it.

Floor of `mean`: the bytes of `x` by the bandwidth; at batch 128, 7x7 pixels of 2048 channels in half precision, 6
microseconds at 4.2 TB/s. Floor of `mean_linear`: those, the bytes of the weight, 4 MB for 1000 classes, and a launch
more. The means are written down between the two: to compute them again for every block of classes would cost more
than that.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from resnexus.acceleration.cuda.kernels import launching, pointwise
from resnexus.acceleration.cuda.kernels.epilogue import workspace_numbers
from resnexus.acceleration.cuda.kernels.settings import Product, Tile, filling, pieces

TILES = (
    Tile(pixels=64, channels=128, warps=8),
    Tile(pixels=64, channels=64),
    Tile(pixels=32, channels=64),
    Tile(pixels=64, channels=32),
    Tile(pixels=64, channels=16, warps=2),
)
"""From large to small; 7x7 pixels are read at once by a tile of 64."""

_FLOAT = 4
_ALIGNMENT = 16


@triton.jit(do_not_specialize=["pixels"])
def _mean(
    x, out,
    pixels,
    CHANNELS: tl.constexpr, BLOCKS: tl.constexpr, X_PITCH: tl.constexpr, OUT_PITCH: tl.constexpr,
    STEPS: tl.constexpr, PIXELS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    image = tl.program_id(0) // BLOCKS
    channel = tl.program_id(0) % BLOCKS * WIDTH + tl.arange(0, WIDTH)
    start = x + image.to(tl.int64) * pixels * X_PITCH
    total = tl.full([PIXELS, WIDTH], 0.0, tl.float32)
    for step in range(STEPS):
        pixel = step * PIXELS + tl.arange(0, PIXELS)
        mask = (pixel < pixels)[:, None] & (channel < CHANNELS)[None, :]
        total += tl.load(start + pixel[:, None] * X_PITCH + channel[None, :], mask=mask, other=0.0).to(tl.float32)
    mean = tl.sum(total, 0) / pixels
    tl.store(out + image * OUT_PITCH + channel, mean.to(out.dtype.element_ty), mask=channel < CHANNELS)


def mean(x: Tensor, out: Tensor, *, settings: Tile | None = None) -> None:
    """Write the mean over the image.

    Args:
        x: (N, C, H, W).
        out: (N, C).
        settings: a row of `TILES`.

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
            "STEPS": pieces(height * width, row.pixels),
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
    workspace: Tensor,
    settings: Product | None = None,
) -> None:
    """Write weight * mean(x) + bias, the mean over the image and rounded to the dtype of `x`.

    Args:
        x: (N, C, H, W).
        weight: (classes, C).
        bias: (classes,), or None.
        out: (N, classes).
        workspace: (numbers,) float32, as many as `mean_linear_workspace_numbers` says.
        settings: of the product, a row of `pointwise.PRODUCTS` whose pixels are images.

    Raises:
        BackendError: shapes, strides or a workspace that are not as they should be.
    """
    row = settings or mean_linear_default(x, out)
    launching.check_workspace(workspace, mean_linear_workspace_numbers(x, out, row))
    images, channels = x.shape[:2]
    means = workspace[: _means_numbers(x)].view(x.dtype)[: images * channels].view(images, channels)
    mean(x, means)
    pointwise.conv1x1(
        means[:, :, None, None],
        weight[:, :, None, None],
        bias,
        None,
        out[:, :, None, None],
        relu=False,
        workspace=workspace[_means_numbers(x) :],
        settings=row,
    )


def mean_candidates(x: Tensor) -> tuple[Tile, ...]:
    """Return the rows that are worth a try: those at most twice as wide as there are channels."""
    return tuple(row for row in TILES if row.channels < 2 * x.shape[1]) or TILES[-1:]


def mean_default(x: Tensor) -> Tile:
    """Return the widest row whose programs fill a GPU."""
    return filling(mean_candidates(x), lambda row: x.shape[0] * pieces(x.shape[1], row.channels))


def mean_linear_candidates(x: Tensor, out: Tensor) -> tuple[Product, ...]:
    """Return the rows for the product that are worth a try."""
    return pointwise.candidates(x, out[:, :, None, None])


def mean_linear_default(x: Tensor, out: Tensor) -> Product:
    """Return the first row whose programs fill a GPU."""
    return pointwise.default(x, out[:, :, None, None])


def mean_linear_workspace_numbers(x: Tensor, out: Tensor, settings: Product) -> int:
    """Return how many float32 numbers `mean_linear` needs as a workspace."""
    return _means_numbers(x) + workspace_numbers(out, settings)


def _means_numbers(x: Tensor) -> int:
    """Return the float32 numbers that the means take, whose end is aligned for wide loads."""
    return pieces(x.shape[0] * x.shape[1] * x.element_size(), _ALIGNMENT) * _ALIGNMENT // _FLOAT
