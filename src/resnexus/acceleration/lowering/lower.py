"""From a folded network to its program."""

from __future__ import annotations

from torch import nn

from resnexus.acceleration.backends.contract import BackendError
from resnexus.acceleration.lowering.operations import (
    Activation,
    Conv,
    Gated,
    Lowered,
    Mean,
    Move,
    Operation,
    Pool,
    Section,
    Value,
    View,
)
from resnexus.architectures.blocks import BasicBranch, BottleneckBranch, Res2Branch, ResidualBlock, SqueezeExcite
from resnexus.architectures.network import FeatureNetwork, Network
from resnexus.architectures.pools import DilatedAvgPool
from resnexus.rewrites.cascade import Cascade, CascadeBranch, SummedProjection
from resnexus.rewrites.folding import BiasedConv
from resnexus.rewrites.gating import PregatedBlock


def lower(network: Network | FeatureNetwork) -> Lowered:
    """Return the program of a network.

    Args:
        network: folded (`fold_batch_norm`); with or without `gate_before_projection`. Weights are not copied.

    Raises:
        BackendError: the network is not folded, was rewritten in another way, or has logits without a classifier.
    """
    images = Value("images", (network.in_chans,), 1)
    first, stem = _stem(network, images)
    sections = [stem]
    for number, stage in enumerate(network.stages):
        sections.append(_stage(f"stages.{number}", stage, sections[-1].result))
    if isinstance(network, FeatureNetwork):
        maps = [first, *(section.result for section in sections[1:])]
        return Lowered(images, tuple(maps[index] for index in network.out_indices), tuple(sections))
    if not isinstance(network.head, nn.Linear):
        raise BackendError(f"our own engines need a classifier, and this network has {type(network.head).__name__}")
    sections.append(_head(network.head, sections[-1].result))
    return Lowered(images, (sections[-1].result,), tuple(sections))


class _Writer:
    """Writes the operations of one section; `name` is that of the module whose operations come next."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.operations: list[Operation] = []

    def value(self, name: str, like: Value, channels: int, stride: int = 1) -> Value:
        """Return a new value, smaller than another by a stride."""
        reduction = None if like.reduction is None else like.reduction * stride
        return Value(f"{self.name}.{name}", (channels,), reduction)

    def conv(
        self,
        name: str,
        x: View,
        layer: BiasedConv,
        *,
        out: View | None = None,
        addend: View | None = None,
        gate: View | None = None,
        residual: View | None = None,
        activation: Activation | None = None,
    ) -> Value:
        """Write a convolution with the activation of its layer, or with another."""
        conv = layer.conv
        stride = conv.stride[0]
        if out is None:
            out = self.value(name, x.value, conv.out_channels, stride).whole
        operation = Conv(
            out,
            x,
            conv.weight,
            conv.bias,
            stride=stride,
            padding=int(conv.padding[0]),
            dilation=conv.dilation[0],
            groups=conv.groups,
            addend=addend,
            gate=gate,
            residual=residual,
            activation=activation or ("relu" if layer.relu else "none"),
        )
        self.operations.append(operation)
        return out.value

    def linear(self, name: str, x: Value, layer: nn.Linear, activation: Activation = "none") -> Value:
        """Write a linear layer as a convolution of one pixel."""
        out = self.value(name, x, layer.out_features)
        weight = layer.weight[:, :, None, None]
        self.operations.append(Conv(out.whole, x.whole, weight, layer.bias, activation=activation))
        return out

    def mean(self, name: str, x: Value) -> Value:
        """Write the mean over the image."""
        out = Value(f"{self.name}.{name}", x.parts, None)
        self.operations.append(Mean(out.whole, x.whole))
        return out

    def gate(self, z: Value, squeeze: nn.Linear, excite: nn.Linear) -> View:
        """Write sigmoid(excite(relu(squeeze(mean(z)))))."""
        squeezed = self.linear("squeeze", self.mean("mean", z), squeeze, "relu")
        return self.linear("excite", squeezed, excite, "sigmoid").whole


def _stem(network: Network | FeatureNetwork, images: Value) -> tuple[Value, Section]:
    """Return feature map 0 and the section, whose pool is left out where no stage comes after."""
    writer = _Writer("stem")
    first = x = images
    for number, layer in enumerate(network.stem):
        if isinstance(layer, nn.MaxPool2d):
            if not len(network.stages):
                break
            out = writer.value(str(number), x, x.channels, stride=2)
            writer.operations.append(Pool(out.whole, x.whole, kernel=3, stride=2, padding=1, maximum=True))
            x = out
        else:
            first = x = writer.conv(str(number), x.whole, _biased(layer))
    return first, Section("stem", images, x, tuple(writer.operations))


def _stage(name: str, stage: nn.Module, source: Value) -> Section:
    writer = _Writer(name)
    x = source
    for number, block in enumerate(stage.children()):
        writer.name = f"{name}.{number}"
        x = _block(writer, block, x)
    return Section(name, source, x, tuple(writer.operations))


def _head(head: nn.Linear, source: Value) -> Section:
    writer = _Writer("head")
    logits = writer.linear("logits", writer.mean("mean", source), head)
    return Section("head", source, logits, tuple(writer.operations))


def _block(writer: _Writer, block: nn.Module, x: Value) -> Value:
    if isinstance(block, PregatedBlock):
        shortcut = _shortcut(writer, block.shortcut, x).whole
        z = _inner(writer, block.inner, x)
        gate = writer.gate(z, block.squeeze, block.excite)
        projection = _biased(block.projection)
        return writer.conv("out", z.whole, projection, gate=gate, residual=shortcut, activation="relu")
    if not isinstance(block, ResidualBlock):
        raise BackendError(f"our own engines do not know a {type(block).__name__}")
    shortcut = _shortcut(writer, block.shortcut, x).whole
    inner, last = _halves(block.branch)
    z = _inner(writer, inner, x)
    if not isinstance(block.gate, SqueezeExcite):
        return writer.conv("out", z.whole, last, residual=shortcut, activation="relu")
    y = writer.conv("branch", z.whole, last)
    gate = writer.gate(y, block.gate.squeeze, block.gate.excite)
    out = writer.value("out", y, y.channels)
    writer.operations.append(Gated(out.whole, y.whole, gate, shortcut))
    return out


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
    raise BackendError(f"our own engines do not know a {type(branch).__name__}")


def _inner(writer: _Writer, inner: nn.Module, x: Value) -> Value:
    if isinstance(inner, Cascade):
        return _cascade(writer, inner, x)
    if not isinstance(inner, nn.Sequential):
        raise BackendError(f"our own engines do not know a {type(inner).__name__}")
    for number, layer in enumerate(inner):
        x = writer.conv(f"conv{number}", x.whole, _biased(layer))
    return x


def _shortcut(writer: _Writer, shortcut: nn.Module, x: Value) -> Value:
    if isinstance(shortcut, nn.Identity):
        return x
    pool, proj = getattr(shortcut, "pool", None), _biased(getattr(shortcut, "proj", None))
    if isinstance(pool, nn.AvgPool2d):
        pooled = writer.value("pool", x, x.channels, stride=2)
        writer.operations.append(Pool(pooled.whole, x.whole, kernel=2, stride=2))
        x = pooled
    elif isinstance(pool, DilatedAvgPool):
        pooled = writer.value("pool", x, x.channels)
        writer.operations.append(_dilated(pool, pooled.whole, x.whole))
        x = pooled
    elif not isinstance(pool, nn.Identity):
        raise BackendError(f"our own engines do not know a shortcut with {type(pool).__name__}")
    return writer.conv("shortcut", x.whole, proj)


def _cascade(writer: _Writer, cascade: Cascade, x: Value) -> Value:
    """Write a cascade: its parts lie in one value, and their results in another, so that nothing is split or joined."""
    if len(cascade.entries) != 1 or len(cascade.widths) != len(cascade.splits) + 1 or not cascade.concatenated:
        raise BackendError("our own engines take a Res2 block as it is, without rewrites of its own")
    splits = [_biased(split) for split in cascade.splits]
    widths, stride = tuple(cascade.widths), splits[0].conv.stride[0]
    parts = Value(f"{writer.name}.parts", widths, x.reduction)
    z = Value(f"{writer.name}.splits", widths, None if x.reduction is None else x.reduction * stride)
    writer.conv("parts", x.whole, _biased(cascade.entries[0]), out=parts.whole)
    passed, last = parts.part(len(splits)), z.part(len(splits))
    if isinstance(cascade.pool, nn.AvgPool2d):
        counts = bool(cascade.pool.count_include_pad)
        writer.operations.append(Pool(last, passed, kernel=3, stride=stride, padding=1, counts_padding=counts))
    elif isinstance(cascade.pool, DilatedAvgPool):
        writer.operations.append(_dilated(cascade.pool, last, passed))
    else:
        writer.operations.append(Move(last, passed))
    for index, split in enumerate(splits):
        addend = z.part(index - 1) if cascade.chained and index else None
        writer.conv("splits", parts.part(index), split, out=z.part(index), addend=addend)
    return z


def _dilated(pool: DilatedAvgPool, out: View, x: View) -> Pool:
    return Pool(
        out,
        x,
        kernel=pool.kernel,
        stride=1,
        padding=(pool.kernel - 1) // 2 * pool.dilation,
        dilation=pool.dilation,
        counts_padding=pool.count_padding,
    )


def _biased(layer: nn.Module | SummedProjection | None) -> BiasedConv:
    if not isinstance(layer, BiasedConv):
        raise BackendError(
            f"our own engines need folded convolutions, and this network has a {type(layer).__name__}: apply "
            "fold_batch_norm, and none of the rewrites of Res2 blocks and shortcuts"
        )
    return layer
