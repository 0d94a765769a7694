"""Fold batch normalisation into the convolutions, and the shape that every other rewrite starts from."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import TypeVar, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resnexus.architectures.blocks import ConvNorm
from resnexus.architectures.network import FeatureNetwork, Network
from resnexus.architectures.stage import set_grad_checkpointing
from resnexus.errors import ResnexusError

AnyNetwork = TypeVar("AnyNetwork", bound=Network | FeatureNetwork)
M = TypeVar("M", bound=nn.Module)


@final
class BiasedConv(nn.Module):
    """Convolution with a bias, and ReLU where `relu`: what a `ConvNorm` is once its normalisation is folded."""

    def __init__(self, conv: nn.Conv2d, *, relu: bool) -> None:
        super().__init__()
        self.conv = conv
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, out_width, H / stride, W / stride), rounded up for the kernels and paddings in use."""
        x = self.conv(x)
        return F.relu(x, inplace=True) if self.relu else x


def fold_batch_norm(network: AnyNetwork) -> AnyNetwork:
    """Return a copy for inference whose batch normalisations are folded into the convolutions before them.

    With s = gamma / sqrt(variance + eps): W' = s W and b' = beta - s mean, computed in float64 and cast once. A
    network that is folded already is only copied.

    Args:
        network: any dtype and device; left as it is.

    Returns:
        A network in evaluation mode, without gradients, of the same dtype.

    Raises:
        ResnexusError: a folded weight does not fit the network's dtype.
    """
    folded = copy_for_inference(network)
    replace_modules(folded, ConvNorm, _fold)
    folded.eval()
    return folded


def conv_from(weight: Tensor, bias: Tensor | None, like: nn.Conv2d, *, groups: int = 1) -> nn.Conv2d:
    """Return a convolution with these float64 weights, in the dtype, stride, padding and dilation of `like`.

    Args:
        weight: (out, in / groups, k, k).
        bias: (out,), or None for none.
        like: where dtype, device, kernel size, stride, padding and dilation come from.
        groups: groups of the result.

    Raises:
        ResnexusError: a weight does not fit the dtype of `like`.
    """
    conv = nn.Conv2d(
        weight.shape[1] * groups,
        weight.shape[0],
        like.kernel_size,  # type: ignore[arg-type]
        like.stride,  # type: ignore[arg-type]
        like.padding,  # type: ignore[arg-type]
        like.dilation,  # type: ignore[arg-type]
        groups=groups,
        bias=bias is not None,
        device="meta",
    )
    conv.weight = frozen(weight, like.weight)
    if bias is not None:
        conv.bias = frozen(bias, like.weight)
    return conv


def frozen(value: Tensor, like: Tensor) -> nn.Parameter:
    """Cast a float64 weight to the dtype of `like`, as a parameter without a gradient.

    Raises:
        ResnexusError: a finite value that becomes infinite in that dtype.
    """
    return nn.Parameter(_fitting(value, like.dtype).contiguous(), requires_grad=False)


def cast(network: AnyNetwork, dtype: torch.dtype) -> AnyNetwork:
    """Return a copy for inference in another floating-point dtype.

    Raises:
        ResnexusError: a finite weight that becomes infinite in that dtype.
    """
    duplicate: AnyNetwork = copy_for_inference(network)
    for tensor in (*duplicate.parameters(), *duplicate.buffers()):
        if tensor.is_floating_point():
            tensor.data = _fitting(tensor.data, dtype)
    return duplicate


def copy_for_inference(network: AnyNetwork) -> AnyNetwork:
    """Return a copy in evaluation mode, without gradients and without checkpointing."""
    duplicate = copy.deepcopy(network)
    duplicate.eval()
    duplicate.requires_grad_(False)
    set_grad_checkpointing(duplicate, False)
    return duplicate


def biased(module: nn.Module) -> BiasedConv:
    """Narrow a module's type to the folded convolution it must be.

    Raises:
        TypeError: it is something else: the network was not folded.
    """
    if not isinstance(module, BiasedConv):
        raise TypeError(f"expected a convolution with its normalisation folded, found {type(module).__name__}")
    return module


def replace_modules(root: nn.Module, kind: type[M], build: Callable[[M], nn.Module]) -> None:
    """Replace every module of exactly this kind below `root`, in place, by what `build` returns for it."""
    for parent in list(root.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is kind:
                setattr(parent, name, build(child))


def blocks(network: Network | FeatureNetwork) -> Iterator[nn.Module]:
    """Yield every residual block, in the order in which they run."""
    for stage in network.stages:
        yield from stage.children()


def _fitting(value: Tensor, dtype: torch.dtype) -> Tensor:
    converted = value.to(dtype)
    if not value.is_meta and not torch.equal(converted.isfinite(), value.isfinite()):
        raise ResnexusError(f"a weight of {float(value.abs().max()):.3g} does not fit {dtype}: use float32 or bfloat16")
    return converted


def _fold(layer: ConvNorm) -> BiasedConv:
    conv, norm = layer.conv, layer.norm
    if norm.running_mean is None or norm.running_var is None:
        raise ResnexusError(
            "cannot fold a batch normalisation that keeps no running statistics: build it with track_running_stats=True"
        )
    scale = norm.weight.double() * torch.rsqrt(norm.running_var.double() + norm.eps)
    weight = conv.weight.double() * scale[:, None, None, None]
    bias = norm.bias.double() - norm.running_mean.double() * scale
    return BiasedConv(conv_from(weight, bias, conv, groups=conv.groups), relu=layer.relu)
