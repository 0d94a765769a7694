"""Images as they come, arrays or tensors in any floating point, as the float32 tensors that everything here takes."""

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
    if images.device.type not in ("cpu", device):
        runs = "CPU" if device == "cpu" else "GPU"
        raise ResnexusError(f"{what} on {images.device}: this engine runs on the {runs}; move them with images.cpu()")
    if not images.is_floating_point():
        raise ResnexusError(f"{what} of {images.dtype}: expected floating point, prepared as for the network")
    if images.layout != torch.strided:
        raise ResnexusError(f"{what} in layout {images.layout}: expected dense ones; use images.to_dense()")
    if images.device.type != "cpu":
        return images.detach()  # a copy to the engine reads any floating point and layout
    # What reads the memory itself does not see that a view is negative.
    return images.detach().resolve_neg().to(torch.float32).contiguous()


def _from_array(images: Array, what: str) -> Tensor:
    if images.dtype.kind != "f":
        raise ResnexusError(f"{what} of {images.dtype}: expected floating point, prepared as for the network")
    with np.errstate(over="ignore"):  # infinite in float32, as in a tensor
        # PyTorch knows neither other byte orders, nor long doubles, nor memory that may only be read.
        return torch.from_numpy(np.require(images, np.float32, ["C", "A", "W"]))
