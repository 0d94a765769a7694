"""Images as they come, arrays or tensors in any floating point, as the float32 tensors that everything here takes.

An engine that was opened for bytes takes those, and nothing else.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from resnexus.errors import ResnexusError

Array = np.ndarray[Any, np.dtype[Any]]


def as_images(
    images: Tensor | Array,
    shape: tuple[int, ...],
    what: str = "images",
    expected: str = "this engine was made for",
    device: str = "cpu",
) -> Tensor:
    """Return images as a contiguous float32 tensor on the CPU, which may share the memory of what was given.

    Images on another device are returned as they are, checked.

    Args:
        images: (N, *shape) on the CPU or the device, in any floating point, byte order and memory layout.
        shape: (C, H, W).
        what: how messages call them.
        expected: how messages begin to say what shape is right.
        device: where they may be besides the CPU.

    Raises:
        ResnexusError: no tensor or array, another shape, another device, a sparse layout, or no floating point.
    """
    right = "(N, {}, {}, {})".format(*shape)
    if not isinstance(images, (Tensor, np.ndarray)):
        raise ResnexusError(f"{what} are {type(images).__name__}: expected a tensor or array {right}")
    if tuple(images.shape[1:]) != shape:
        raise ResnexusError(f"{what} of shape {tuple(images.shape)}: {expected} {right}")
    if isinstance(images, np.ndarray):
        return _from_array(images, what)
    _check_place(images, what, device)
    if not images.is_floating_point():
        raise ResnexusError(_no_floating_point(images.dtype, what))
    _check_dense(images, what)
    if images.device.type != "cpu":
        return images.detach()  # a copy to the engine reads any floating point and layout
    # What reads the memory itself does not see that a view is negative.
    return images.detach().resolve_neg().to(torch.float32).contiguous()


def _from_array(images: Array, what: str) -> Tensor:
    if images.dtype.kind != "f":
        raise ResnexusError(_no_floating_point(images.dtype, what))
    with np.errstate(over="ignore"):  # infinite in float32, as in a tensor
        # PyTorch knows neither other byte orders, nor long doubles, nor memory that may only be read.
        return torch.from_numpy(np.require(images, np.float32, ["C", "A", "W"]))


def as_pixels(images: Tensor | Array, shape: tuple[int, ...], what: str = "images", device: str = "cpu") -> Tensor:
    """Return images as (N, H, W, C) uint8, contiguous on the CPU; they may share the memory of what was given.

    Args:
        images: (N, H, W, C) or (N, C, H, W) uint8 on the CPU or the device; where they could be both, the first.
        shape: (C, H, W).
        what: how messages call them.
        device: where they may be besides the CPU.

    Raises:
        ResnexusError: no tensor or array, another shape, another device, a sparse layout, or another dtype.
    """
    channels, height, width = shape
    right = f"(N, {height}, {width}, {channels}) or (N, {channels}, {height}, {width}) uint8"
    if not isinstance(images, (Tensor, np.ndarray)):
        raise ResnexusError(f"{what} are {type(images).__name__}: expected a tensor or array {right}")
    if str(images.dtype).removeprefix("torch.") != "uint8":
        raise ResnexusError(
            f"{what} of {images.dtype}: this engine was opened with pixels=, and takes uint8 from 0 to 255; for "
            "prepared images in floating point open one without"
        )
    last, first = (height, width, channels), (channels, height, width)
    if tuple(images.shape[1:]) not in (last, first):
        raise ResnexusError(f"{what} of shape {tuple(images.shape)}: this engine was made for {right}")
    if isinstance(images, np.ndarray):
        images = torch.from_numpy(np.require(images, None, ["C", "A", "W"]))
    _check_place(images, what, device)
    _check_dense(images, what)
    pixels = images.detach() if tuple(images.shape[1:]) == last else images.detach().permute(0, 2, 3, 1)
    return pixels.contiguous() if pixels.device.type == "cpu" else pixels


def _no_floating_point(dtype: object, what: str) -> str:
    wrong = f"{what} of {dtype}: expected floating point, prepared as for the network"
    return f"{wrong}; accelerate(pixels=...) opens an engine that takes bytes" if "uint8" in str(dtype) else wrong


def _check_place(images: Tensor, what: str, device: str) -> None:
    if images.device.type not in ("cpu", device):
        runs = "CPU" if device == "cpu" else "GPU"
        raise ResnexusError(f"{what} on {images.device}: this engine runs on the {runs}; move them with images.cpu()")


def _check_dense(images: Tensor, what: str) -> None:
    if images.layout != torch.strided:
        raise ResnexusError(f"{what} in layout {images.layout}: expected dense ones; use images.to_dense()")
