"""A network for a GPU: steps over values, as they lie on disk and as they run.

A step is what one call of a library or of one of our kernels can do. Where values lie in memory, and which call does
a step, is not in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from resnexus.acceleration.backends.contract import BackendError

Kind = Literal["convolve", "pair", "pool", "excite", "apply", "classify"]


@dataclass(frozen=True, kw_only=True)
class ValueRecord:
    """Activations.

    Attributes:
        name: that of the module that computes them.
        channels: of all parts together.
        reduction: image pixels per pixel, in both directions; None for one number per image and channel.
    """

    name: str
    channels: int
    reduction: int | None

    def __post_init__(self) -> None:
        _at_least(1, channels=self.channels, reduction=1 if self.reduction is None else self.reduction)

    def shape(self, batch_size: int, image_size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Return (N, C, H, W) for images of (height, width)."""
        if self.reduction is None:
            return (batch_size, self.channels, 1, 1)
        height, width = (-(-size // self.reduction) for size in image_size)
        return (batch_size, self.channels, height, width)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Channels of a value, one after another.

    Attributes:
        value: index of the value.
        first: the first of them.
        channels: how many.
    """

    value: int
    first: int
    channels: int

    def __post_init__(self) -> None:
        _at_least(0, value=self.value, first=self.first)
        _at_least(1, channels=self.channels)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step; what it computes depends on the kind.

    - `convolve`: act(gate * (weight * (x + addend) + bias) + residual); weights: weight, and bias where there is one.
    - `pair`: act(W2 relu(W1 * x + b1) + b2 + residual), of a convolution as the fields say and a 1x1 on its result;
      weights: W1, b1, W2, b2.
    - `pool`: maximum or mean over a square window.
    - `excite`: sigmoid(W2 relu(W1 mean(x) + b1) + b2), the gate of squeeze-and-excitation; weights: W1, b1, W2, b2.
    - `apply`: relu(gate * x + residual).
    - `classify`: W mean(x) + b; weights: W, b.

    Attributes:
        kind: see above.
        out: where the result goes.
        x: what is read.
        addend: added to `x` first; None for nothing.
        residual: None for 0.
        gate: one number per image and channel; None for 1.
        copy: where the last channels of the result go, too, as many as there are places; None for nowhere.
        weights: names in the file of weights.
        kernel: rows and columns of the window.
        stride: in both directions.
        padding: on all sides; of pools, above and left of the image.
        dilation: pixels between neighbours of a window.
        groups: of channels.
        relu: whether the last step of a convolution is max(0, .).
        maximum: whether a pool takes the maximum.
        counts_padding: whether a mean counts pixels outside the image as zeros.
        squeezed: channels between the two layers of a gate.
    """

    kind: Kind
    out: Place
    x: Place
    addend: Place | None = None
    residual: Place | None = None
    gate: Place | None = None
    copy: Place | None = None
    weights: tuple[str, ...] = ()
    kernel: int = 1
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    groups: int = 1
    relu: bool = False
    maximum: bool = False
    counts_padding: bool = False
    squeezed: int | None = None

    def __post_init__(self) -> None:
        _at_least(1, kernel=self.kernel, stride=self.stride, dilation=self.dilation, groups=self.groups)
        _at_least(0, padding=self.padding)
        counts = {"convolve": (1, 2), "pair": (4,), "excite": (4,), "classify": (2,)}.get(self.kind, (0,))
        if len(self.weights) not in counts:
            raise BackendError(f"a step {self.kind!r} with {len(self.weights)} weights: expected {counts}")
        if self.kind == "apply" and (self.gate is None or self.residual is None):
            raise BackendError("a step 'apply' without a gate or a residual")
        if self.copy is not None:
            plain = self.kind == "convolve" and self.kernel == 1 and self.gate is None
            if not plain or self.copy.channels > self.out.channels:
                raise BackendError(f"a step {self.kind!r} with a copy: expected some channels of a 1x1 without a gate")

    @property
    def has_bias(self) -> bool:
        """Whether a convolution adds a bias."""
        return len(self.weights) > 1

    def reads(self) -> tuple[Place, ...]:
        """Return what it reads, `x` first."""
        return tuple(place for place in (self.x, self.addend, self.residual, self.gate) if place is not None)

    def writes(self) -> tuple[Place, ...]:
        """Return where it writes, `out` first."""
        return (self.out,) if self.copy is None else (self.out, self.copy)


@dataclass(frozen=True, kw_only=True)
class ProgramRecord:
    """A network.

    Attributes:
        values: the images first.
        outputs: indices of the values that are returned: the logits, or the feature maps in their order.
        steps: in the order in which they run.
        weights: SHA-256 of the file of weights, which tells what may share memory.
    """

    values: tuple[ValueRecord, ...]
    outputs: tuple[int, ...]
    steps: tuple[Step, ...]
    weights: str

    def __post_init__(self) -> None:
        if not self.values or not self.outputs:
            raise BackendError("a program without images or without outputs")
        written = {0}
        for number, step in enumerate(self.steps):
            for place in (*step.reads(), *step.writes()):
                if place.value >= len(self.values) or place.first + place.channels > self.values[place.value].channels:
                    raise BackendError(f"step {number}, {step.kind}: {place} lies outside of the values")
            if not {place.value for place in step.reads()} <= written:
                raise BackendError(f"step {number}, {step.kind}: reads what no step before it writes")
            written.update(place.value for place in step.writes())
        if not set(self.outputs) <= written:
            raise BackendError(f"outputs {self.outputs}: expected values that a step writes")

    def deaths(self) -> tuple[tuple[int, ...], ...]:
        """Return for every step the values that no later one needs: their memory is free after it."""
        last: dict[int, int] = {}
        for number, step in enumerate(self.steps):
            last |= dict.fromkeys((place.value for place in (*step.reads(), *step.writes())), number)
        kept = {0, *self.outputs}
        return tuple(
            tuple(value for value, end in last.items() if end == number and value not in kept)
            for number in range(len(self.steps))
        )

    def peak(self, batch_size: int, image_size: tuple[int, int]) -> int:
        """Return how many numbers are alive at once at most: values that are not dead yet, images and outputs."""

        def numbers(value: int) -> int:
            batch, channels, height, width = self.values[value].shape(batch_size, image_size)
            return batch * channels * height * width

        alive = {0}
        most = numbers(0)
        for step, dead in zip(self.steps, self.deaths(), strict=True):
            alive.update(place.value for place in step.writes())
            most = max(most, sum(map(numbers, alive)))
            alive -= set(dead)
        return most


def _at_least(least: int, **values: int) -> None:
    for name, value in values.items():
        if value < least:
            raise BackendError(f"{name}={value}: expected at least {least}")
