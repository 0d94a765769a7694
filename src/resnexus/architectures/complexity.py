"""What a network costs, by arithmetic on its row: parameters, multiply-adds, activations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resnexus.architectures.catalog import architecture
from resnexus.architectures.dilation import grid, resolved_output_stride
from resnexus.architectures.spec import Architecture
from resnexus.errors import ResnexusError

if TYPE_CHECKING:  # counting needs no torch
    from resnexus.architectures.network import FeatureNetwork, Network


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One convolution or linear layer (an image of 1x1) and the size of its output."""

    kind: str
    in_width: int
    out_width: int
    height: int
    width: int
    kernel: int = 1
    groups: int = 1

    @property
    def weights(self) -> int:
        """Elements of the weight."""
        return self.out_width * (self.in_width // self.groups) * self.kernel**2

    @property
    def parameters(self) -> int:
        """Trainable numbers: the weight, and scale and shift (convolution) or the bias (linear)."""
        return self.weights + self.out_width * (2 if self.kind == "conv" else 1)

    @property
    def macs(self) -> int:
        """Multiply-adds per image."""
        return self.weights * self.height * self.width

    @property
    def activations(self) -> int:
        """Elements of the output per image."""
        return self.out_width * self.height * self.width


@dataclass(frozen=True, kw_only=True)
class Complexity:
    """The cost of one network at one image size.

    Attributes:
        parameters: trainable numbers.
        buffers: running means and variances of the batch normalisations.
        conv_macs: multiply-adds of the convolutions per image.
        linear_macs: multiply-adds of the linear layers (classifier and gates) per image.
        activations: elements of all convolution and linear outputs per image.
    """

    parameters: int
    buffers: int
    conv_macs: int
    linear_macs: int
    activations: int

    @property
    def macs(self) -> int:
        """Multiply-adds per image, convolutions and linear layers; pooling and normalisation are not counted."""
        return self.conv_macs + self.linear_macs

    @property
    def gflops(self) -> float:
        """2 x `macs` / 1e9, the convention of the published table."""
        return 2 * self.macs / 1e9

    @property
    def mparams(self) -> float:
        """Parameters in millions."""
        return self.parameters / 1e6


def complexity(
    model: str | Architecture | Network | FeatureNetwork,
    image_size: int | tuple[int, int] = 224,
    *,
    num_classes: int = 1000,
    in_chans: int = 3,
    output_stride: int | None = None,
    out_indices: Sequence[int] | None = None,
) -> Complexity:
    """Count what a network costs; nothing is built and nothing is run.

    Args:
        model: a name, a row, or a network, whose own classes, image channels and output stride are then taken.
        image_size: pixels, one number or (height, width).
        num_classes: outputs of the last layer, 0 for none.
        in_chans: channels of the image.
        output_stride: image pixels per pixel of the last map; the row's own if None.
        out_indices: of a name or row, feature maps instead of logits: what comes behind the last of them is not run.

    Raises:
        ResnexusError: unknown name, an image size that is not positive, or an output stride or a map that the row has
            not.
    """
    if isinstance(model, (str, Architecture)):
        row = architecture(model)
        stages = len(row.depths)
        if out_indices is not None:
            from resnexus.architectures.features import resolved_indices

            stages, num_classes = max(resolved_indices(out_indices, stages + 1)), 0
    else:
        row, in_chans, stages = model.architecture, model.in_chans, len(model.stages)
        output_stride = model.output_stride
        num_classes = getattr(model, "num_classes", 0)  # a FeatureNetwork has no classes
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    if height < 1 or width < 1:
        raise ResnexusError(f"image_size={image_size!r}: expected at least 1 pixel on each side")
    found = list(
        layers(
            row,
            (height, width),
            num_classes=num_classes,
            in_chans=in_chans,
            stages=stages,
            output_stride=output_stride,
        )
    )
    convs = [layer for layer in found if layer.kind == "conv"]
    return Complexity(
        parameters=sum(layer.parameters for layer in found),
        buffers=sum(2 * layer.out_width for layer in convs),
        conv_macs=sum(layer.macs for layer in convs),
        linear_macs=sum(layer.macs for layer in found if layer.kind == "linear"),
        activations=sum(layer.activations for layer in found),
    )


def layers(
    row: Architecture,
    image_size: tuple[int, int],
    *,
    num_classes: int = 1000,
    in_chans: int = 3,
    stages: int | None = None,
    output_stride: int | None = None,
) -> Iterator[Layer]:
    """Yield every convolution and linear layer of a network, in the order in which they run.

    Args:
        row: the network.
        image_size: (height, width) in pixels.
        num_classes: outputs of the last layer, 0 for none.
        in_chans: channels of the image.
        stages: how many stages to run; all if None.
        output_stride: image pixels per pixel of the last map; the row's own if None.
    """
    size = image_size
    output_stride = resolved_output_stride(row, output_stride)

    def conv(in_width: int, out_width: int, kernel: int, stride: int = 1, groups: int = 1) -> Layer:
        height, width = _halved(size, stride)
        return Layer(
            kind="conv",
            in_width=in_width,
            out_width=out_width,
            height=height,
            width=width,
            kernel=kernel,
            groups=groups,
        )

    final = row.stem_width
    if row.stem == "deep":
        yield conv(in_chans, final // 2, 3, 2)
        size = _halved(size, 2)
        yield conv(final // 2, final // 2, 3)
        yield conv(final // 2, final, 3)
    elif row.stem == "conv7":
        yield conv(in_chans, final, 7, 2)
        size = _halved(size, 2)
    else:
        yield conv(in_chans, final, 3)
    if row.stem != "small":
        size = _halved(size, 2)

    for stage, depth in enumerate(row.depths[:stages]):
        inner, out = row.inner_width(stage), row.outer_width(stage)
        for block in range(depth):
            stride = grid(row, stage, block, output_stride).step
            in_width = row.in_width(stage) if block == 0 else out
            if row.block == "basic":
                yield conv(in_width, out, 3, stride)
            else:
                yield conv(in_width, inner, 1)
                split = inner // row.scale
                for _ in range(max(1, row.scale - 1)):
                    yield conv(split, split, 3, stride, row.groups)
            if block == 0:
                yield conv(in_width, out, 1, stride)
            size = _halved(size, stride)
            yield conv(out, out, 3) if row.block == "basic" else conv(inner, out, 1)
            if row.se_reduction is not None:
                yield _linear(out, out // row.se_reduction)
                yield _linear(out // row.se_reduction, out)
    if num_classes:
        last = len(row.depths) if stages is None else stages
        yield _linear(row.outer_width(last - 1), num_classes)


def _linear(in_width: int, out_width: int) -> Layer:
    return Layer(kind="linear", in_width=in_width, out_width=out_width, height=1, width=1)


def _halved(size: tuple[int, int], stride: int) -> tuple[int, int]:
    return -(-size[0] // stride), -(-size[1] // stride)
