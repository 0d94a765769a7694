"""From a rewritten network to the layers of the kernels."""

from __future__ import annotations

from typing import Any

from torch import nn

from resnexus.acceleration.backends.contract import BackendError, Job
from resnexus.acceleration.native.layers import Activation, Epilogue, Layers
from resnexus.acceleration.native.layout import Activations, blocked, cells_of, planes
from resnexus.acceleration.native.packing import Numbers
from resnexus.architectures.blocks import BasicBranch, BottleneckBranch, Res2Branch, ResidualBlock, SqueezeExcite
from resnexus.architectures.network import Network
from resnexus.architectures.spec import Architecture
from resnexus.rewrites.cascade import Cascade, CascadeBranch, SummedProjection
from resnexus.rewrites.folding import BiasedConv
from resnexus.rewrites.gating import PregatedBlock

# What leaves a stage for the images of one pass: the output of stage 1 for one image of 224x224. Larger passes would
# drive the activations out of the caches.
_PASS_BYTES = 13 << 17


def lower(network: Network, job: Job, layers: Layers) -> tuple[Activations, Activations]:
    """Add the layers of a network.

    Args:
        network: float32, on the CPU, folded (`fold_batch_norm`); with or without `gate_before_projection`.
        job: what it is for.
        layers: where to add them.

    Returns:
        The images that the first layer reads, one channel per block; the logits.

    Raises:
        BackendError: the network is not folded, was rewritten in another way, or has a convolution without a kernel.
    """
    if not isinstance(network.head, nn.Linear):
        raise BackendError(f"the native kernels need a classifier, and this network has {type(network.head).__name__}")
    body = _Body(network, job, layers)
    features = body.gathered(len(network.stages), 0, job.batch_size)
    return body.images, _linear(layers, layers.mean(features), network.head)


class _Body:
    """Stem and stages, in passes of a few images where activations are large."""

    def __init__(self, network: Network, job: Job, layers: Layers) -> None:
        self.network, self.layers = network, layers
        self.basic = network.architecture.block == "basic"
        padding = int(_biased(network.stem[0]).conv.padding[0])
        self.images = planes(job.in_chans, job.batch_size, *job.image_size, padding)
        self.passes = _passes(network.architecture, job)

    def gathered(self, stages: int, first: int, count: int) -> Activations:
        """Return what leaves some stages, for some images, in as many passes as it takes."""
        together = min(self.passes[max(0, stages - 1)], count)
        if together == count:
            return self._pass(stages, first, count, count, None)
        whole: Activations | None = None
        for start in range(0, count, together):
            size = min(together, count - start)
            out = None if whole is None else whole.some(start, size)
            found = self._pass(stages, first + start, size, count, out)
            whole = found.some(0, count) if whole is None else whole
        if whole is None:
            raise ValueError(f"count={count}: expected at least one image")
        return whole

    def _pass(self, stages: int, first: int, count: int, of: int, out: Activations | None) -> Activations:
        """Run some images; without `out` the result is the beginning of new activations for `of` images."""
        if stages == 0:
            return self._stem(self.images.some(first, count), of, out)
        x = self.gathered(stages - 1, first, count)
        everything = list(self.network.stages[stages - 1].children())
        for block in everything[:-1]:
            x = _block(self.layers, block, x, border=self.basic)
        border = self.basic and stages < len(self.network.stages)
        return _block(self.layers, everything[-1], x, border=border, of=of, out=out)

    def _stem(self, x: Activations, of: int, out: Activations | None) -> Activations:
        stem = list(self.network.stem)
        convs = [_biased(layer) for layer in stem if not isinstance(layer, nn.MaxPool2d)]
        for layer in convs[:-1]:
            x = _conv(self.layers, x, layer, border=True)
        if len(convs) == len(stem):
            return _conv(self.layers, x, convs[-1], border=self.basic, of=of, out=out)
        x = _conv(self.layers, x, convs[-1])
        if out is None:
            out = blocked(x.cells, of, _halved(x.height), _halved(x.width), border=self.basic).some(0, x.images)
        return self.layers.pool(x, out, kernel=3, stride=2, padding=1, maximum=True)


def _passes(row: Architecture, job: Job) -> list[int]:
    """Return for every stage how many images run through it together."""
    found = []
    for stage, reduction in enumerate(row.reductions):
        pixels = -(-job.image_size[0] // reduction) * -(-job.image_size[1] // reduction)
        found.append(min(job.batch_size, max(1, _PASS_BYTES // (4 * row.outer_width(stage) * pixels))))
    return found


def _block(
    layers: Layers,
    block: nn.Module,
    x: Activations,
    *,
    border: bool,
    of: int | None = None,
    out: Activations | None = None,
) -> Activations:
    target: dict[str, Any] = {"border": border, "of": of, "out": out}
    if isinstance(block, PregatedBlock):
        shortcut = _shortcut(layers, block.shortcut, x)
        z = _inner(layers, block.inner, x)
        gate = _gate(layers, z, block.squeeze, block.excite)
        epilogue = Epilogue("relu", residual=shortcut, gate=gate)
        return _conv(layers, z, _biased(block.projection), epilogue=epilogue, **target)
    if not isinstance(block, ResidualBlock):
        raise BackendError(f"the native kernels do not know a {type(block).__name__}")
    shortcut = _shortcut(layers, block.shortcut, x)
    inner, last = _halves(block.branch)
    z = _inner(layers, inner, x, border=isinstance(block.branch, BasicBranch))
    if not isinstance(block.gate, SqueezeExcite):
        return _conv(layers, z, last, epilogue=Epilogue("relu", residual=shortcut), **target)
    y = _conv(layers, z, last)
    gate = _gate(layers, y, block.gate.squeeze, block.gate.excite)
    if out is None:
        out = blocked(y.cells, of or y.images, y.height, y.width, border=border).some(0, y.images)
    return layers.gated(y, gate, shortcut, out)


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
        pooled = blocked(x.cells, x.images, _halved(x.height), _halved(x.width))
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
    cells = cells_of(widths.pop())
    each = len(cells)
    parts = blocked(cells * (count + 1), x.images, x.height, x.width, border=True)
    _conv(layers, x, _biased(cascade.entries[0]), out=parts)
    stride = _biased(cascade.splits[0]).conv.stride[0]
    z = blocked(cells * (count + 1), x.images, -(-x.height // stride), -(-x.width // stride))
    passed, last = (whole.part(each * count, each) for whole in (parts, z))
    if isinstance(cascade.pool, nn.AvgPool2d):
        counts = bool(cascade.pool.count_include_pad)
        layers.pool(passed, last, kernel=3, stride=stride, padding=1, counts_padding=counts)
    else:
        layers.pool(passed, last, kernel=1, stride=1)  # moves it
    for index, split in enumerate(map(_biased, cascade.splits)):
        following = parts.part(each * (index + 1), each) if cascade.chained and index + 1 < count else None
        epilogue = Epilogue("relu" if split.relu else "none", onward=following)
        _conv(layers, parts.part(each * index, each), split, out=z.part(each * index, each), epilogue=epilogue)
    return z


def _conv(
    layers: Layers,
    x: Activations,
    layer: BiasedConv,
    *,
    border: bool = False,
    of: int | None = None,
    out: Activations | None = None,
    epilogue: Epilogue | None = None,
) -> Activations:
    """Add a convolution; without `out` its result is the beginning of new activations for `of` images."""
    conv = layer.conv
    weight, stride = _array(conv.weight), conv.stride[0]
    if out is None:
        cells, height, width = cells_of(weight.shape[0]), -(-x.height // stride), -(-x.width // stride)
        out = blocked(cells, of or x.images, height, width, border=border).some(0, x.images)
    bias = None if conv.bias is None else _array(conv.bias)
    padding = int(conv.padding[0])
    own = Epilogue("relu" if layer.relu else "none")
    return layers.convolve(
        x, weight, bias, out, stride=stride, padding=padding, groups=conv.groups, epilogue=epilogue or own
    )


def _linear(layers: Layers, x: Activations, layer: nn.Linear, activation: Activation = "none") -> Activations:
    out = blocked(cells_of(layer.out_features), x.images, 1, 1)
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
