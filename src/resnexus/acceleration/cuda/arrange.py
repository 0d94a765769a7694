"""From a lowered network to the steps of a GPU, with weights in the precision it computes in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import torch
from torch import Tensor

from resnexus.acceleration.backends.contract import BackendError
from resnexus.acceleration.cuda.steps import Kind, Place, Step, ValueRecord
from resnexus.acceleration.lowering.operations import (
    Conv,
    Gated,
    Lowered,
    Mean,
    Move,
    Operation,
    Pool,
    Value,
    View,
    reads,
)
from resnexus.rewrites.folding import frozen


@dataclass(frozen=True)
class Arranged:
    """A network as steps.

    Attributes:
        values: the images first.
        outputs: indices of the values that are returned.
        steps: in the order in which they run.
        weights: name -> weights as (out, in / groups, kernel, kernel), matrices (out, in), and biases (out,).
    """

    values: tuple[ValueRecord, ...]
    outputs: tuple[int, ...]
    steps: tuple[Step, ...]
    weights: dict[str, Tensor]


def arrange(program: Lowered, dtype: torch.dtype) -> Arranged:
    """Return the steps of a program.

    A mean and the layers over it become one step. The part of a Res2 block that is passed on as it is becomes a second
    place where the first 1x1 writes it, so that no step copies. The bias of a projection shortcut is added, in float64,
    to that of the convolution that adds the shortcut: the sum is the same, and the shortcut's convolution needs no
    epilogue.

    Args:
        program: with weights in float32 or float64, on the CPU.
        dtype: what the steps compute in.

    Raises:
        BackendError: an operation that no step does.
        ResnexusError: a weight that does not fit `dtype`.
    """
    arranger = _Arranger(dtype, _moved_biases(program), _copies(program))
    arranger.value(program.images)
    operations = iter(tuple(program.operations()))
    for operation in operations:
        arranger.add(operation, operations)
    outputs = tuple(arranger.value(value) for value in program.outputs)
    return Arranged(tuple(arranger.values), outputs, tuple(arranger.steps), arranger.weights)


def _moved_biases(program: Lowered) -> dict[Conv, Conv]:
    """Return the convolution of a shortcut -> the one that takes over its bias."""
    writers: dict[Value, list[Operation]] = {}
    readers: Counter[Value] = Counter(program.outputs)
    for operation in program.operations():
        writers.setdefault(operation.out.value, []).append(operation)
        readers.update(view.value for view in reads(operation))
    found = {}
    for operation in program.operations():
        if not isinstance(operation, Conv) or operation.residual is None or operation.gate is not None:
            continue
        value = operation.residual.value
        writer = writers.get(value, [None])[0]
        alone = readers[value] == 1 and len(writers.get(value, ())) == 1 and operation.bias is not None
        if alone and isinstance(writer, Conv) and writer.activation == "none" and writer.bias is not None:
            found[writer] = operation
    return found


def _copies(program: Lowered) -> dict[Conv, View]:
    """Return the convolution whose last channels are moved -> where they go.

    Raises:
        BackendError: something else is moved.
    """
    operations = tuple(program.operations())
    whole = {conv.out.value: conv for conv in operations if isinstance(conv, Conv) and conv.out == conv.out.value.whole}
    found: dict[Conv, View] = {}
    for operation in operations:
        if isinstance(operation, Move):
            conv, value = whole.get(operation.x.value), operation.x.value
            if conv is None or conv in found or operation.x.channels.stop != value.channels:
                raise BackendError(
                    f"the engine for GPUs moves the last part of a convolution's result, once: not to "
                    f"{operation.out.value.name}"
                )
            found[conv] = operation.out
    return found


@final
@dataclass
class _Arranger:
    dtype: torch.dtype
    moved: dict[Conv, Conv]
    copies: dict[Conv, View]
    values: list[ValueRecord] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    weights: dict[str, Tensor] = field(default_factory=dict)
    _indices: dict[Value, int] = field(default_factory=dict)

    def value(self, value: Value) -> int:
        """Return the index of a value."""
        if value not in self._indices:
            self._indices[value] = len(self.values)
            self.values.append(ValueRecord(name=value.name, channels=value.channels, reduction=value.reduction))
        return self._indices[value]

    def place(self, view: View) -> Place:
        """Return where a view lies."""
        channels = view.channels
        return Place(value=self.value(view.value), first=channels.start, channels=channels.stop - channels.start)

    def add(self, operation: Operation, following: Iterator[Operation]) -> None:
        """Add the step of an operation; a mean takes the layers over it from those that follow."""
        match operation:
            case Conv():
                self._convolve(operation)
            case Pool():
                self._add(
                    "pool",
                    operation,
                    kernel=operation.kernel,
                    stride=operation.stride,
                    padding=operation.padding,
                    dilation=operation.dilation,
                    maximum=operation.maximum,
                    counts_padding=operation.counts_padding,
                )
            case Move():
                pass  # the convolution before it has done it
            case Gated():
                gate, residual = self.place(operation.gate), self.place(operation.residual)
                self._add("apply", operation, gate=gate, residual=residual)
            case Mean():
                self._over_mean(operation, following)

    def _add(self, kind: Kind, operation: Operation, **fields: Any) -> None:
        out, x = self.place(operation.out), self.place(operation.x)
        self.steps.append(Step(kind=kind, out=out, x=x, **fields))

    def _over_mean(self, mean: Mean, following: Iterator[Operation]) -> None:
        """Write the layers over a mean: those of a gate, or the classifier."""
        layer = next(following, None)
        if not isinstance(layer, Conv) or layer.x != mean.out:
            raise BackendError(f"the engine for GPUs knows no mean without a layer over it, as {mean.out.value.name}")
        if layer.activation == "none":
            self._layers("classify", mean, [layer])
            return
        second = next(following, None)
        is_gate = isinstance(second, Conv) and second.x == layer.out and second.activation == "sigmoid"
        if not isinstance(second, Conv) or not is_gate or layer.activation != "relu":
            raise BackendError(f"the engine for GPUs knows gates and classifiers alone over {mean.out.value.name}")
        self._layers("excite", mean, [layer, second])

    def _layers(self, kind: Kind, mean: Mean, layers: Sequence[Conv]) -> None:
        names: list[str] = []
        for layer in layers:
            bias = layer.weight.new_zeros(len(layer.weight)) if layer.bias is None else layer.bias
            names += [self._keep(layer, "weight", layer.weight[:, :, 0, 0]), self._keep(layer, "bias", bias)]
        out, x = self.place(layers[-1].out), self.place(mean.x)
        squeezed = len(layers[0].weight) if len(layers) > 1 else None
        self.steps.append(Step(kind=kind, out=out, x=x, weights=tuple(names), squeezed=squeezed))

    def _convolve(self, conv: Conv) -> None:
        value = conv.out.value
        if conv.activation == "sigmoid" or (conv.residual is not None and conv.activation != "relu"):
            raise BackendError(f"the engine for GPUs knows no {conv.activation!r} after {value.name}")
        if conv.gate is not None and conv.residual is None:
            raise BackendError(f"the engine for GPUs knows no gate without a residual, as of {value.name}")
        names = [self._keep(conv, "weight", conv.weight)]
        bias = self._bias(conv)
        if bias is not None:
            names.append(self._keep(conv, "bias", bias))
        places = {
            name: None if view is None else self.place(view)
            for name, view in (
                ("addend", conv.addend),
                ("residual", conv.residual),
                ("gate", conv.gate),
                ("copy", self.copies.get(conv)),
            )
        }
        self._add(
            "convolve",
            conv,
            **places,
            weights=tuple(names),
            kernel=conv.weight.shape[-1],
            stride=conv.stride,
            padding=conv.padding,
            dilation=conv.dilation,
            groups=conv.groups,
            relu=conv.activation == "relu",
        )

    def _bias(self, conv: Conv) -> Tensor | None:
        if conv in self.moved:
            return None
        given = [other.bias for other, taker in self.moved.items() if taker is conv and other.bias is not None]
        own = [] if conv.bias is None else [conv.bias]
        return torch.stack([bias.double() for bias in (*own, *given)]).sum(0) if own or given else None

    def _keep(self, conv: Conv, what: str, tensor: Tensor) -> str:
        name = f"{conv.out.value.name}.{conv.out.first}.{what}"
        if name in self.weights:
            raise BackendError(f"two layers write {name}")
        self.weights[name] = frozen(tensor.detach().double(), torch.empty(0, dtype=self.dtype)).data
        return name
