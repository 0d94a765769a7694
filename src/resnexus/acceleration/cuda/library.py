"""The library calls of the steps: cuDNN and cuBLASLt with their epilogues, and on the CPU what computes the same.

A convolution with a bias never goes through `torch.conv2d`, which adds the bias in a kernel of its own: that took 5.1
of 11.5 ms of ResNeXt50_32x4d at batch 128 on an H200.

On the CPU every function computes in float32, or float64 for float64, and rounds once, as the libraries do, which keep
sums in float32 and round where they store: so the whole engine runs without a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from resnexus.architectures.pools import DilatedAvgPool


@dataclass(frozen=True, kw_only=True)
class Window:
    """How a convolution moves over the image; every number holds in both directions."""

    stride: int = 1
    padding: int = 0
    dilation: int = 1
    groups: int = 1


def convolution(x: Tensor, weight: Tensor, window: Window, *, tf32: bool = False) -> Tensor:
    """Weight * x, alone: `torch.cudnn_convolution`.

    Args:
        x: (N, in, H, W), channels last.
        weight: (out, in / groups, kernel, kernel), channels last.
        window: how it moves.
        tf32: whether float32 may be rounded to TF32 first.

    Returns:
        (N, out, H', W'), channels last, in new memory.
    """
    if not x.is_cuda:
        return _stored(_wide_convolution(x, weight, None, window), x)
    stride, padding, dilation = _pairs(window)
    return torch.cudnn_convolution(x, weight, padding, stride, dilation, window.groups, True, False, tf32)


def convolution_relu(x: Tensor, weight: Tensor, bias: Tensor, window: Window) -> Tensor:
    """max(0, weight * x + bias): `torch.cudnn_convolution_relu`; arguments and result as for `convolution`."""
    if not x.is_cuda:
        return _stored(F.relu(_wide_convolution(x, weight, bias, window)), x)
    return torch.cudnn_convolution_relu(x, weight, bias, *_pairs(window), window.groups)


def convolution_add_relu(x: Tensor, weight: Tensor, bias: Tensor, residual: Tensor, window: Window) -> Tensor:
    """max(0, weight * x + bias + residual): `torch.cudnn_convolution_add_relu`; as for `convolution`."""
    if not x.is_cuda:
        return _stored(F.relu(_wide_convolution(x, weight, bias, window) + residual.to(_wide(x))), x)
    return torch.cudnn_convolution_add_relu(x, weight, residual, 1.0, bias, *_pairs(window), window.groups)


def product(x: Tensor, weight: Tensor, bias: Tensor | None, out: Tensor, *, relu: bool = False) -> None:
    """Out = x weight^T + bias, and max(0, .) with `relu`: one call of cuBLASLt with its epilogue.

    Args:
        x: (rows, in); rows may have gaps between them.
        weight: (out, in).
        bias: (out,); None for 0, without `relu`.
        out: (rows, out).
        relu: whether negative results become 0.
    """
    if x.is_cuda:
        if bias is None:
            torch.mm(x, weight.T, out=out)
        elif relu:
            torch._addmm_activation(bias, x, weight.T, out=out)
        else:
            torch.addmm(bias, x, weight.T, out=out)
        return
    wide = _wide(x)
    result = x.to(wide) @ weight.to(wide).T
    result = result if bias is None else result + bias.to(wide)
    out.copy_(F.relu(result) if relu else result)


def mean(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C): the mean over the image, summed in float32 at least, in the dtype of `x`."""
    return x.mean((2, 3), dtype=None if x.is_cuda else _wide(x)).to(x.dtype)


def gated_relu(x: Tensor, gate: Tensor, residual: Tensor, out: Tensor) -> None:
    """Out = max(0, gate * x + residual), the gate (N, C, 1, 1): two passes of PyTorch's own."""
    if x.is_cuda:
        torch.addcmul(residual, x, gate, out=out)
        out.relu_()
        return
    wide = _wide(x)
    out.copy_(F.relu(torch.addcmul(residual.to(wide), x.to(wide), gate.to(wide))))


def average_pool(x: Tensor, *, kernel: int, stride: int, padding: int, dilation: int, counts_padding: bool) -> Tensor:
    """Return the mean over windows, rows and columns those of `x` by the stride, rounded up; channels last."""
    own = x if x.is_cuda else x.to(_wide(x))
    if dilation > 1 or (kernel == 2 and stride == 1):
        found = DilatedAvgPool(kernel, dilation, count_padding=counts_padding)(own)
    else:
        # Without padding an odd last row is averaged over the pixels it has.
        found = F.avg_pool2d(own, kernel, stride, padding, ceil_mode=not padding, count_include_pad=counts_padding)
    return _stored(found, x)


def maximum_pool(x: Tensor, *, kernel: int, stride: int, padding: int) -> Tensor:
    """Return the maximum over windows, of the pixels inside the image; channels last."""
    return _stored(F.max_pool2d(x, kernel, stride, padding), x)


def rows(x: Tensor) -> Tensor:
    """(N, C, H, W), channels last -> (N H W, C): a view wherever pixels lie evenly, or a copy."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def _pairs(window: Window) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    stride, padding, dilation = window.stride, window.padding, window.dilation
    return (stride, stride), (padding, padding), (dilation, dilation)


def _wide(x: Tensor) -> torch.dtype:
    """Return what the CPU computes in."""
    return torch.promote_types(x.dtype, torch.float32)


def _wide_convolution(x: Tensor, weight: Tensor, bias: Tensor | None, window: Window) -> Tensor:
    wide = _wide(x)
    own = None if bias is None else bias.to(wide)
    sizes = (window.stride, window.padding, window.dilation, window.groups)
    return F.conv2d(x.to(wide), weight.to(wide), own, *sizes)


def _stored(result: Tensor, like: Tensor) -> Tensor:
    """Return a result as it is stored: rounded to the dtype of the step, channels last."""
    return result.to(dtype=like.dtype, memory_format=torch.channels_last)
