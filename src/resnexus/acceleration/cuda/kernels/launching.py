"""What a launch asks of its tensors, and the launch itself."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from resnexus.acceleration.backends.contract import BackendError


def launch(kernel: Any, programs: tuple[int, ...], arguments: dict[str, Any], *, warps: int, stages: int = 1) -> None:
    """Run a kernel on the current stream of the current device, without waiting for it.

    Args:
        kernel: a function of Triton.
        programs: how many run, by up to three axes.
        arguments: of the kernel, by name.
        warps: of a program.
        stages: loads under way in its loops over matrix products.
    """
    kernel[programs](**arguments, num_warps=warps, num_stages=stages)


def pitch(name: str, tensor: Tensor) -> int:
    """Return how many numbers lie between two neighbouring pixels of a channels-last tensor.

    That is the number of channels, or more where the tensor is a slice of the channels of a larger one.

    Args:
        name: of the tensor, for the error.
        tensor: (N, C, H, W), or (N, C) as images of one pixel.

    Raises:
        BackendError: neither channels last nor consecutive channels of such a tensor.
    """
    if tensor.dim() == 2:
        tensor = tensor[:, :, None, None]
    images, channels, height, width = tensor.shape
    by_image, by_channel, by_row, by_column = tensor.stride()
    # Pixels from one to the next, in all directions in which there is a next one.
    steps = [(by_column, 1)] if width > 1 else []
    steps += [(by_row, width)] if height > 1 else []
    steps += [(by_image, height * width)] if images > 1 else []
    found = steps[0][0] // steps[0][1] if steps else channels
    regular = found >= channels and all(stride == found * pixels for stride, pixels in steps)
    if not regular or (channels > 1 and by_channel != 1):
        raise BackendError(
            f"{name} of shape {tuple(tensor.shape)} with strides {tensor.stride()}: expected channels last, or "
            "consecutive channels of such a tensor"
        )
    return found


def check_shape(name: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    """Refuse a tensor of another shape.

    Raises:
        BackendError: the shapes differ.
    """
    if tuple(tensor.shape) != shape:
        raise BackendError(f"{name} of shape {tuple(tensor.shape)}: expected {shape}")


def check_weight(name: str, weight: Tensor, like: Tensor, shape: tuple[int, ...]) -> None:
    """Refuse a weight of another shape or dtype than the product needs, or in another layout.

    Args:
        name: of the weight, for the error.
        weight: (out, in, k, k) with the strides of `torch.channels_last`, or (out, in), (out,) contiguous.
        like: what it is multiplied with.
        shape: expected.

    Raises:
        BackendError: it does not fit.
    """
    check_shape(name, weight, shape)
    if weight.dtype != like.dtype and weight.dim() > 1:
        raise BackendError(f"{name} is {weight.dtype}: expected {like.dtype}, as what it is multiplied with")
    layout = torch.channels_last if weight.dim() == 4 else torch.contiguous_format
    if not weight.is_contiguous(memory_format=layout):
        raise BackendError(f"{name} has strides {weight.stride()}: expected those of {layout}")


def check_workspace(workspace: Tensor | None, numbers: int) -> None:
    """Refuse a workspace that does not hold the parts of a sum.

    Raises:
        BackendError: there is none, it is too small, or it is not float32.
    """
    if not numbers:
        return
    if workspace is None or workspace.dtype != torch.float32 or workspace.numel() < numbers:
        found = "none" if workspace is None else f"{workspace.numel()} of {workspace.dtype}"
        raise BackendError(f"workspace: {found}; expected at least {numbers} contiguous float32 numbers")
    if not workspace.is_contiguous():
        raise BackendError(f"workspace has strides {workspace.stride()}: expected it contiguous")


def widened(tensor: Tensor) -> bool:
    """Whether operands of products have to be widened to float32, which changes nothing but the speed.

    Triton's interpreter, which alone runs on the CPU, has no products of bfloat16.
    """
    return tensor.dtype == torch.bfloat16 and tensor.device.type == "cpu"
