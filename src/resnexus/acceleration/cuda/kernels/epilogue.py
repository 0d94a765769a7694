"""The end of a convolution: bias, gate, residual and ReLU on sums in float32, which are rounded once.

Floor of adding parts: 4 bytes for each part and output, and the bytes of the outputs, by the bandwidth; the parts of
small batches lie in the L2 cache.
"""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl
from torch import Tensor

from resnexus.acceleration.cuda.kernels import launching
from resnexus.acceleration.cuda.kernels.settings import Product, pieces, power_of_two

_ELEMENTS = 1024


@triton.jit
def finish(
    sums, bias, gate, residual, out, pixel, output, mask, image_pixels,
    OUTPUTS: tl.constexpr, RESIDUAL_PITCH: tl.constexpr, OUT_PITCH: tl.constexpr, RELU: tl.constexpr,
):  # fmt: skip
    """Write relu(gate * (sums + bias) + residual) for a tile of pixels x outputs, and return what was written."""
    if bias is not None:
        sums += tl.load(bias + output, mask=output < OUTPUTS, other=0.0).to(tl.float32)[None, :]
    if gate is not None:
        gates = gate + (pixel // image_pixels)[:, None] * OUTPUTS + output[None, :]
        sums *= tl.load(gates, mask=mask, other=0.0).to(tl.float32)
    start = pixel.to(tl.int64)[:, None]
    if residual is not None:
        sums += tl.load(residual + start * RESIDUAL_PITCH + output[None, :], mask=mask, other=0.0).to(tl.float32)
    if RELU:
        sums = tl.where(sums < 0, 0.0, sums)  # NaN is not below 0, and stays
    done = sums.to(out.dtype.element_ty)
    tl.store(out + start * OUT_PITCH + output[None, :], done, mask=mask)
    return done


@triton.jit
def write_again(done, copy, pixel, output, mask, COPIED_FROM: tl.constexpr, COPY_PITCH: tl.constexpr):
    """Write the outputs of a tile from some on to a second place."""
    place = copy + pixel.to(tl.int64)[:, None] * COPY_PITCH + (output - COPIED_FROM)[None, :]
    tl.store(place, done.to(copy.dtype.element_ty), mask=mask & (output >= COPIED_FROM)[None, :])


@triton.jit(do_not_specialize=["pixels", "image_pixels"])
def _add_parts(
    parts, bias, gate, residual, out, copy,
    pixels, image_pixels,
    OUTPUTS: tl.constexpr, RESIDUAL_PITCH: tl.constexpr, OUT_PITCH: tl.constexpr, RELU: tl.constexpr,
    COPIED_FROM: tl.constexpr, COPY_PITCH: tl.constexpr,
    SPLITS: tl.constexpr, PIXELS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    output = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    mask = (pixel < pixels)[:, None] & (output < OUTPUTS)[None, :]
    sums = tl.full([PIXELS, WIDTH], 0.0, tl.float32)
    for part in range(SPLITS):
        start = (pixel.to(tl.int64) + part * pixels)[:, None] * OUTPUTS
        sums += tl.load(parts + start + output[None, :], mask=mask, other=0.0)
    done = finish(
        sums, bias, gate, residual, out, pixel, output, mask, image_pixels, OUTPUTS, RESIDUAL_PITCH, OUT_PITCH, RELU
    )
    if copy is not None:
        write_again(done, copy, pixel, output, mask, COPIED_FROM, COPY_PITCH)


def ending(
    out: Tensor, *, bias: Tensor | None, gate: Tensor | None = None, residual: Tensor | None = None, relu: bool = False
) -> dict[str, Any]:
    """Return the arguments of a kernel that say what becomes of its sums.

    Args:
        out: (N, outputs, H, W).
        bias: (outputs,), or None.
        gate: (N, outputs) contiguous, or None.
        residual: as `out`, or None.
        relu: whether negative results become 0.

    Raises:
        BackendError: shapes or strides that are not as they should be.
    """
    images, outputs, height, width = out.shape
    if bias is not None:
        launching.check_weight("bias", bias, out, (outputs,))
    if gate is not None:
        launching.check_weight("gate", gate, gate, (images, outputs))
    if residual is not None:
        launching.check_shape("residual", residual, tuple(out.shape))
    return {
        "bias": bias,
        "gate": gate,
        "residual": residual,
        "out": out,
        "pixels": images * height * width,
        "image_pixels": height * width,
        "OUTPUTS": outputs,
        "RESIDUAL_PITCH": outputs if residual is None else launching.pitch("residual", residual),
        "OUT_PITCH": launching.pitch("out", out),
        "RELU": relu,
    }


def copying(out: Tensor, copy: Tensor | None = None) -> dict[str, Any]:
    """Return the arguments of a kernel that say where its last outputs go, too.

    Args:
        out: (N, outputs, H, W).
        copy: (N, at most as many, H, W), apart from `out`; None for nowhere.

    Raises:
        BackendError: shapes or strides that are not as they should be.
    """
    images, outputs, height, width = out.shape
    if copy is None:
        return {"copy": None, "COPIED_FROM": outputs, "COPY_PITCH": 0}
    launching.check_shape("copy", copy, (images, min(outputs, copy.shape[1]), height, width))
    return {"copy": copy, "COPIED_FROM": outputs - copy.shape[1], "COPY_PITCH": launching.pitch("copy", copy)}


def workspace_numbers(out: Tensor, settings: Product) -> int:
    """Return how many float32 numbers the parts of the sums for `out` are: 0 if they are not cut."""
    return settings.splits * out.numel() if settings.splits > 1 else 0


def add_parts(parts: Tensor | None, splits: int, end: dict[str, Any]) -> None:
    """Add the parts of sums in their order and finish them, if they were cut.

    Args:
        parts: float32, (splits, pixels, outputs); None if the sums are whole.
        splits: how many parts.
        end: of `ending` and `copying`.
    """
    if splits == 1:
        return
    width = min(power_of_two(end["OUTPUTS"]), 128)
    rows = _ELEMENTS // width
    launching.launch(
        _add_parts,
        (pieces(end["pixels"], rows), pieces(end["OUTPUTS"], width)),
        end | {"parts": parts, "SPLITS": splits, "PIXELS": rows, "WIDTH": width},
        warps=4,
    )
