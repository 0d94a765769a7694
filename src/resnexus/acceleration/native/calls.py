"""Calls of the kernels, and which algorithm a convolution gets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from resnexus.acceleration.backends.contract import BackendError
from resnexus.acceleration.lowering.operations import Activation
from resnexus.acceleration.native import packing
from resnexus.acceleration.native.layout import Activations
from resnexus.acceleration.native.packing import LANES, Numbers

Kind = Literal["convolution", "winograd", "strassen", "grouped", "pool", "mean", "gated", "write"]

_ACTIVATIONS: dict[Activation, int] = {"none": 0, "relu": 1, "sigmoid": 2}

# Below these sizes an algorithm costs more than it saves; measured on a processor of 2023 with AVX-512.
FEWEST_WINOGRAD_TILES = 8
FEWEST_STRASSEN_PIXELS, FEWEST_STRASSEN_INPUTS, FEWEST_STRASSEN_OUTPUTS = 196, 208, 208
# Its tiles hold pairs of pixels of one image alone. Where few fit an image, tiles are too small to be worth it.
MOST_ROWS, FEWEST_STRASSEN_ROWS = 14, 10


@dataclass(frozen=True)
class KernelCall:
    """One call of a kernel: the fields of its structure, activations and weights as they are here."""

    kind: Kind
    fields: dict[str, Any]

    def activations(self) -> list[Activations]:
        """Return everything it reads or writes."""
        flat = [*self.fields.values(), *self.fields.get("epilogue", {}).values()]
        return [value for value in flat if isinstance(value, Activations)]


@dataclass(frozen=True)
class Epilogue:
    """What happens to the result of a convolution: activation(gate * (sum + bias) + residual).

    Attributes:
        activation: the last step.
        residual: added.
        gate: one value per image and channel, multiplied.
        onward: the result is added to what is there.
    """

    activation: Activation = "none"
    residual: Activations | None = None
    gate: Activations | None = None
    onward: Activations | None = None

    def fields(self, bias: Numbers | None, out: Activations) -> dict[str, Any]:
        """Return the fields of the kernels' structure."""
        return {
            "bias": bias,
            "activation": _ACTIVATIONS[self.activation],
            "out": out,
            "residual": self.residual,
            "gate": None if self.gate is None else self.gate.as_gate(),
            "onward": self.onward,
        }


@dataclass
class KernelCalls:
    """The calls that compute a network, in the order of execution.

    Attributes:
        fast: whether convolutions may save multiplications (Winograd, Strassen), at the price of a larger rounding
            error.
        calls: so far.
        outputs: number of each output -> the shape that an image has in it.
    """

    fast: bool = True
    calls: list[KernelCall] = field(default_factory=list)
    outputs: dict[int, tuple[int, ...]] = field(default_factory=dict)
    _packed: dict[Any, Numbers] = field(default_factory=dict)

    def convolve(
        self,
        x: Activations,
        weight: Numbers,
        bias: Numbers | None,
        out: Activations,
        *,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        epilogue: Epilogue | None = None,
        together: int | None = None,
    ) -> Activations:
        """Add a convolution, or a linear layer as one of 1x1, by the algorithm that suits it.

        Args:
            x: with a border as wide as the padding.
            weight: (out, in / groups, kernel, kernel).
            bias: (out,) or None.
            out: where the result goes.
            stride: in both directions.
            padding: on all sides.
            groups: of channels.
            epilogue: what happens to the result.
            together: images to choose the algorithm for, if not those of `x`: the images of a batch that runs in
                pieces get the same one, so that their logits do not depend on their places.

        Raises:
            BackendError: no kernel has so many channels per group.
        """
        kernel, width, together = weight.shape[-1], weight.shape[1], together or x.images
        spread = None if bias is None else self._pack(packing.spread, bias, out)
        fields: dict[str, Any] = {"in_": x, "epilogue": (epilogue or Epilogue()).fields(spread, out)}
        full = all(count == LANES for count in x.cells + out.cells)
        if groups > 1 and kernel == 3 and width in (4, 8, 16) and weight.shape[0] == groups * width and full:
            fields |= {"stride": stride, "width": width, "weights": self._pack(packing.grouped, weight)}
            return self._add("grouped", fields, out)
        if groups == 1 and kernel == 3 and stride == 1 and self._suits_winograd(x, out, together):
            weights = self._pack(packing.winograd, weight, out)
            fields |= {"channels": _channels(x.cells), "depth": width, "weights": weights, "panels": len(weights)}
            return self._add("winograd", fields, out)
        if groups == 1 and kernel == 1 and stride == 1 and self._suits_strassen(x, out, together):
            channels = _channels(x.cells[: len(x.cells) // 2])
            weights = self._pack(packing.strassen, weight[:, :, 0, 0], out)
            return self._add(
                "strassen", fields | {"channels": channels, "depth": len(channels), "weights": weights}, out
            )
        if groups > 1 and (width % LANES or weight.shape[0] // groups % packing.PANEL):
            raise BackendError(f"the native kernels have none for groups of {width} channels")
        blocks_per_group = len(x.cells) // groups
        if x.pixel == 1:
            offsets = [
                channel * x.block + (down - padding) * x.row + across - padding
                for channel in range(len(x.cells))
                for down in range(kernel)
                for across in range(kernel)
            ]
            matrix = weight.transpose(1, 2, 3, 0)
        else:
            offsets = [
                block * x.block + (down - padding) * x.row + (across - padding) * x.pixel + channel
                for down in range(kernel)
                for across in range(kernel)
                for block in range(blocks_per_group)
                for channel in range(x.cells[block])
            ]
            matrix = weight.transpose(2, 3, 1, 0)
        weights = self._pack(packing.panels, weight, out, matrix.reshape(-1, weight.shape[0]))
        fields |= {
            "stride": stride,
            "offsets": _integers(offsets),
            "depth": len(offsets),
            "weights": weights,
            "panels": len(weights),
            "panels_per_group": len(weights) // groups,
            "group_offset": blocks_per_group * x.block,
        }
        return self._add("convolution", fields, out)

    def pool(
        self,
        x: Activations,
        out: Activations,
        *,
        kernel: int,
        stride: int,
        padding: int = 0,
        maximum: bool = False,
        counts_padding: bool = False,
    ) -> Activations:
        """Add a pool; without `counts_padding` a mean is over the pixels inside the image alone."""
        fields = {"in_": x, "out": out, "kernel": kernel, "stride": stride, "padding": padding}
        return self._add("pool", fields | {"maximum": int(maximum), "counts_padding": int(counts_padding)}, out)

    def mean(self, x: Activations, out: Activations) -> Activations:
        """Add the mean over the image."""
        return self._add("mean", {"in_": x, "out": out}, out)

    def gated(self, x: Activations, gate: Activations, residual: Activations, out: Activations) -> Activations:
        """Add relu(gate * x + residual)."""
        return self._add("gated", {"in_": x, "gate": gate.as_gate(), "residual": residual, "out": out}, out)

    def write(self, x: Activations, output: int, shape: tuple[int, ...], *, first: int = 0) -> None:
        """Add that an output gets its values, for some images.

        Args:
            x: the values.
            output: its number.
            shape: that an image has in it: (channels,) of one pixel, or (channels, height, width).
            first: which image of the batch is the first of `x`.
        """
        self.outputs[output] = shape
        self.calls.append(KernelCall("write", {"in_": x, "output": output, "first": first, "channels": x.channels}))

    def _pack(
        self,
        function: Callable[..., Numbers],
        weight: Numbers,
        out: Activations | None = None,
        matrix: Numbers | None = None,
    ) -> Numbers:
        """Pack a weight once, however many passes of a batch it is used in."""
        source = weight if matrix is None else matrix
        key = (weight.ctypes.data, weight.shape, function, None if out is None else out.cells)
        if key not in self._packed:
            packed = function(source) if out is None else function(source, out.cells)
            self._packed[key] = packed.astype(np.float32)
        return self._packed[key]

    def _add(self, kind: Kind, fields: dict[str, Any], out: Activations) -> Activations:
        self.calls.append(KernelCall(kind, fields))
        return out

    def _suits_winograd(self, x: Activations, out: Activations, together: int) -> bool:
        tiles = together * -(-out.height // 4) * -(-out.width // 4)
        return self.fast and x.pixel == LANES and tiles >= FEWEST_WINOGRAD_TILES

    def _suits_strassen(self, x: Activations, out: Activations, together: int) -> bool:
        """Whether pixels, input and output channels can be halved, and are enough for that to pay."""
        pixels = x.height * x.width
        pairs = -(-pixels // 2)
        half = len(x.cells) // 2
        halves = x.cells[:half] == x.cells[half:] and len(out.cells) % 4 == 0
        enough = (
            together * pixels >= FEWEST_STRASSEN_PIXELS
            and pairs >= FEWEST_STRASSEN_ROWS * -(-pairs // MOST_ROWS)
            and x.channels >= FEWEST_STRASSEN_INPUTS
            and out.channels >= FEWEST_STRASSEN_OUTPUTS
        )
        return self.fast and halves and enough and x.bare


def _channels(cells: tuple[int, ...]) -> Numbers:
    """Return where the channels in use lie, counting all sixteen of every block."""
    return _integers([LANES * block + channel for block, count in enumerate(cells) for channel in range(count)])


def _integers(values: list[int]) -> Numbers:
    return np.array(values, np.int32)
