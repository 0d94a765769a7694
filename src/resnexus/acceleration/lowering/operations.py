"""A network as a short program: what is computed from what, and nothing of where or in how many pieces.

No operation knows a batch size, an image size, a device or a layout in memory. An engine turns each into calls of its
own. It lays out values and weights, and may leave out a `Move` by letting the operation before write to the right
place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

Activation = Literal["none", "relu", "sigmoid"]


@dataclass(frozen=True, eq=False)
class Value:
    """Activations by name; one operation writes all of their channels, or several write a part each.

    Attributes:
        name: unique in a program; that of the module that computes it, where there is one.
        parts: channels of each part; one part unless a Res2 block splits them.
        reduction: image pixels per pixel, in both directions; None for one number per image and channel.
    """

    name: str
    parts: tuple[int, ...]
    reduction: int | None

    @property
    def channels(self) -> int:
        """Channels of all parts."""
        return sum(self.parts)

    @property
    def whole(self) -> View:
        """All parts."""
        return View(self, 0, len(self.parts))

    def part(self, index: int) -> View:
        """Return one part."""
        return View(self, index, 1)

    def size(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """Return (height, width) for images of (height, width)."""
        if self.reduction is None:
            return (1, 1)
        height, width = (-(-size // self.reduction) for size in image_size)
        return (height, width)


@dataclass(frozen=True)
class View:
    """Consecutive parts of a value.

    Attributes:
        value: whose.
        first: index of the first part.
        count: how many.
    """

    value: Value
    first: int
    count: int

    @property
    def channels(self) -> slice:
        """Which channels of the value."""
        start = sum(self.value.parts[: self.first])
        return slice(start, start + sum(self.value.parts[self.first : self.first + self.count]))


@dataclass(frozen=True, eq=False)
class Conv:
    """out = activation(gate * (weight * (x + addend) + bias) + residual); a linear layer is one over a single pixel.

    Attributes:
        out: where the result goes; rows and columns are those of `x` by the stride, rounded up.
        x: what is convolved, with zeros around it.
        weight: (out, in / groups, kernel, kernel), in the dtype and on the device of the network.
        bias: (out,), or None.
        stride: in both directions.
        padding: on all sides.
        dilation: pixels between two that are multiplied by neighbouring weights; 1 if the stride is not.
        groups: of channels.
        addend: added to `x` first; None for nothing.
        gate: one number per image and channel; None for 1.
        residual: None for 0.
        activation: the last step.
    """

    out: View
    x: View
    weight: Tensor
    bias: Tensor | None
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    groups: int = 1
    addend: View | None = None
    gate: View | None = None
    residual: View | None = None
    activation: Activation = "none"


@dataclass(frozen=True, eq=False)
class Pool:
    """Maximum or mean over a square window.

    Attributes:
        out: where the result goes; rows and columns are those of `x` by the stride, rounded up.
        x: what is pooled.
        kernel: rows and columns of the window.
        stride: in both directions.
        padding: rows above and columns left of the image where the first window begins.
        dilation: pixels between two neighbours of a window; 1 if the stride is not.
        maximum: whether it is the maximum, of the pixels inside the image.
        counts_padding: whether a mean counts pixels outside the image as zeros; otherwise it leaves them out.
    """

    out: View
    x: View
    kernel: int
    stride: int
    padding: int = 0
    dilation: int = 1
    maximum: bool = False
    counts_padding: bool = False


@dataclass(frozen=True, eq=False)
class Move:
    """out = x."""

    out: View
    x: View


@dataclass(frozen=True, eq=False)
class Mean:
    """out = the mean of x over the image, one number per image and channel."""

    out: View
    x: View


@dataclass(frozen=True, eq=False)
class Gated:
    """out = relu(gate * x + residual), the gate one number per image and channel."""

    out: View
    x: View
    gate: View
    residual: View


Operation = Conv | Pool | Move | Mean | Gated


@dataclass(frozen=True, eq=False)
class Section:
    """Stem, one stage, or head: reads the result of the section before, and nothing else from outside.

    Attributes:
        name: `"stem"`, `"stages.0"` to `"stages.3"`, or `"head"`.
        source: what it reads.
        result: what it leaves to the next.
        operations: in an order in which they can run; no value is written before all readers of an earlier one.
    """

    name: str
    source: Value
    result: Value
    operations: tuple[Operation, ...]


@dataclass(frozen=True, eq=False)
class Lowered:
    """A network.

    Attributes:
        images: (N, in_chans, H, W).
        outputs: the logits, whose reduction is None; or the feature maps, in the order in which they are returned.
        sections: stem, stages, and with logits the head.
    """

    images: Value
    outputs: tuple[Value, ...]
    sections: tuple[Section, ...]

    @property
    def has_head(self) -> bool:
        """Whether it returns logits, which the last section computes."""
        return self.outputs[0].reduction is None

    @property
    def body(self) -> tuple[Section, ...]:
        """Stem and stages."""
        return self.sections[:-1] if self.has_head else self.sections

    def operations(self) -> Iterator[Operation]:
        """Yield everything in order."""
        for section in self.sections:
            yield from section.operations


def reads(operation: Operation) -> tuple[View, ...]:
    """Return what an operation reads, `x` first."""
    found: list[View | None] = [operation.x]
    if isinstance(operation, Conv):
        found += [operation.addend, operation.gate, operation.residual]
    elif isinstance(operation, Gated):
        found += [operation.gate, operation.residual]
    return tuple(view for view in found if view is not None)
