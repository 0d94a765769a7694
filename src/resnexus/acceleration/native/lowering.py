"""From a rewritten network to the layers of the kernels."""

from __future__ import annotations

from typing import Any

from torch import nn

from resnexus.acceleration.backends import BackendError
from resnexus.acceleration.cascade import Cascade, CascadeBranch, SummedProjection
from resnexus.acceleration.folding import BiasedConv, blocks
from resnexus.acceleration.gating import PregatedBlock
from resnexus.acceleration.native.layers import Activation, Epilogue, Layers
from resnexus.acceleration.native.layout import Activations, blocked, cells_of, planes
from resnexus.acceleration.native.packing import Numbers
from resnexus.architectures.blocks import BasicBranch, BottleneckBranch, Res2Branch, ResidualBlock, SqueezeExcite
from resnexus.architectures.network import Network


def lower(network: Network, layers: Layers, in_chans: int, height: int, width: int) -> tuple[Activations, Activations]:
    """Add the layers of a network.

    Args:
        network: float32, on the CPU, folded (`fold_batch_norm`); with or without `gate_before_projection`.
        layers: where to add them.
        in_chans: channels of an image.
        height: of an image, pixels.
        width: of an image, pixels.

    Returns:
        The images that the first layer reads, one channel per block; the logits.

    Raises:
        BackendError: the network is not folded, was rewritten in another way, or has a convolution without a kernel.
    """
    basic = network.architecture.block == "basic"
    stem = list(network.stem)
    convs = [_biased(layer) for layer in stem if not isinstance(layer, nn.MaxPool2d)]
    pools = len(convs) < len(stem)
    images = x = planes(in_chans, layers.images, height, width, convs[0].conv.padding[0])  # type: ignore[arg-type]
    for index, layer in enumerate(convs):
        last = index == len(convs) - 1
        x = _conv(layers, x, layer, border=not last or (not pools and basic))
    if pools:
        pooled = layers.new(x.channels, _halved(x.height), _halved(x.width), border=basic)
        x = layers.pool(x, pooled, kernel=3, stride=2, padding=1, maximum=True)
    everything = list(blocks(network))
    for index, block in enumerate(everything):
        x = _block(layers, block, x, border=basic and index < len(everything) - 1)
    if not isinstance(network.head, nn.Linear):
        raise BackendError(f"the native kernels need a classifier, and this network has {type(network.head).__name__}")
    return images, _linear(layers, layers.mean(x), network.head)


def _block(layers: Layers, block: nn.Module, x: Activations, *, border: bool) -> Activations:
    if isinstance(block, PregatedBlock):
        shortcut = _shortcut(layers, block.shortcut, x)
        z = _inner(layers, block.inner, x)
        gate = _gate(layers, z, block.squeeze, block.excite)
        return _conv(layers, z, _biased(block.projection), epilogue=Epilogue("relu", residual=shortcut, gate=gate))
    if not isinstance(block, ResidualBlock):
        raise BackendError(f"the native kernels do not know a {type(block).__name__}")
    shortcut = _shortcut(layers, block.shortcut, x)
    inner, last = _halves(block.branch)
    z = _inner(layers, inner, x, border=isinstance(block.branch, BasicBranch))
    if not isinstance(block.gate, SqueezeExcite):
        return _conv(layers, z, last, border=border, epilogue=Epilogue("relu", residual=shortcut))
    y = _conv(layers, z, last)
    out = layers.new(y.channels, y.height, y.width, border=border)
    return layers.gated(y, _gate(layers, y, block.gate.squeeze, block.gate.excite), shortcut, out)


def _halves(branch: nn.Module) -> tuple[nn.Module, BiasedConv]:
    """Split a branch before its last convolution."""
    if isinstance(branch, Res2Branch):
        branch = CascadeBranch.of(branch)
    if isinstance(branch, CascadeBranch):
        return branch.cascade, _biased(branch.projection)
    if isinstance(branch, BasicBranch):
        return nn.Sequential(branch.conv0), _biased(branch.conv1)
    if isinstance(branch, BottleneckBranch):
        return nn.Sequential(branch.conv0, branch.conv1), _biased(branch.conv2)
    raise BackendError(f"the native kernels do not know a {type(branch).__name__}")


def _inner(layers: Layers, inner: nn.Module, x: Activations, *, border: bool = False) -> Activations:
    if isinstance(inner, Cascade):
        return _cascade(layers, inner, x)
    if not isinstance(inner, nn.Sequential):
        raise BackendError(f"the native kernels do not know a {type(inner).__name__}")
    for index, layer in enumerate(inner):
        x = _conv(layers, x, _biased(layer), border=border or index < len(inner) - 1)
    return x


def _shortcut(layers: Layers, shortcut: nn.Module, x: Activations) -> Activations:
    if isinstance(shortcut, nn.Identity):
        return x
    pool, proj = getattr(shortcut, "pool", None), _biased(getattr(shortcut, "proj", None))
    if isinstance(pool, nn.AvgPool2d):
        pooled = layers.new(x.channels, _halved(x.height), _halved(x.width))
        x = layers.pool(x, pooled, kernel=2, stride=2)
    elif not isinstance(pool, nn.Identity):
        raise BackendError(f"the native kernels do not know a shortcut with {type(pool).__name__}")
    return _conv(layers, x, proj)


def _gate(layers: Layers, z: Activations, squeeze: nn.Linear, excite: nn.Linear) -> Activations:
    return _linear(layers, _linear(layers, layers.mean(z), squeeze, "relu"), excite, "sigmoid")


def _cascade(layers: Layers, cascade: Cascade, x: Activations) -> Activations:
    """Add a cascade: every part lies in blocks of its own, so that nothing is split, added or concatenated apart."""
    widths, count = set(cascade.widths), len(cascade.splits)
    if len(cascade.entries) != 1 or len(widths) != 1 or len(cascade.widths) != count + 1 or not cascade.concatenated:
        raise BackendError("the native kernels take a Res2 block as it is, without rewrites of its own")
    width = widths.pop()
    entry, cells = _biased(cascade.entries[0]), cells_of(width)
    each, first, rest = len(cells), slice(0, width * count), slice(width * count, None)
    parts = blocked(cells * count, x.images, x.height, x.width, border=True)
    _conv(layers, x, entry, out=parts, rows=first)
    stride = _biased(cascade.splits[0]).conv.stride[0]
    z = blocked(cells * (count + 1), x.images, -(-x.height // stride), -(-x.width // stride))
    last = z.part(each * count, each)
    if isinstance(cascade.pool, nn.AvgPool2d):
        passed = _conv(layers, x, entry, out=blocked(cells, x.images, x.height, x.width), rows=rest)
        counts = bool(cascade.pool.count_include_pad)
        layers.pool(passed, last, kernel=3, stride=stride, padding=1, counts_padding=counts)
    else:
        _conv(layers, x, entry, out=last, rows=rest)
    for index, split in enumerate(cascade.splits):
        following = parts.part(each * (index + 1), each) if cascade.chained and index + 1 < count else None
        relu: Activation = "relu" if _biased(split).relu else "none"
        target = z.part(each * index, each)
        _conv(
            layers,
            parts.part(each * index, each),
            _biased(split),
            out=target,
            epilogue=Epilogue(relu, onward=following),
        )
    return z


def _conv(
    layers: Layers,
    x: Activations,
    layer: BiasedConv,
    *,
    border: bool = False,
    out: Activations | None = None,
    rows: slice = slice(None),
    epilogue: Epilogue | None = None,
) -> Activations:
    conv = layer.conv
    weight, stride = _array(conv.weight)[rows], conv.stride[0]
    if out is None:
        out = layers.new(weight.shape[0], -(-x.height // stride), -(-x.width // stride), border=border)
    bias = None if conv.bias is None else _array(conv.bias)[rows]
    padding = int(conv.padding[0])
    own = Epilogue("relu" if layer.relu else "none")
    return layers.convolve(
        x, weight, bias, out, stride=stride, padding=padding, groups=conv.groups, epilogue=epilogue or own
    )


def _linear(layers: Layers, x: Activations, layer: nn.Linear, activation: Activation = "none") -> Activations:
    out = layers.new(layer.out_features, 1, 1)
    weight = _array(layer.weight)[:, :, None, None]
    return layers.convolve(x, weight, _array(layer.bias), out, epilogue=Epilogue(activation))


def _biased(layer: nn.Module | SummedProjection | None) -> BiasedConv:
    if not isinstance(layer, BiasedConv):
        raise BackendError(
            f"the native kernels need folded convolutions, and this network has a {type(layer).__name__}: apply "
            "fold_batch_norm, and none of the rewrites of Res2 blocks and shortcuts"
        )
    return layer


def _array(tensor: Any) -> Numbers:
    array: Numbers = tensor.detach().numpy()
    return array


def _halved(size: int) -> int:
    return -(-size // 2)
