"""What does a step: calls of the libraries and of our kernels, one row each.

Where several rows take a step, the first is what runs it where nothing was measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor

from resnexus.acceleration.backends.contract import BackendError
from resnexus.acceleration.cuda import library
from resnexus.acceleration.cuda.steps import Kind, Place, ProgramRecord, Step


@final
@dataclass
class Weights:
    """The weights of a network on its device, once for all batch sizes.

    Attributes:
        tensors: by name; four-dimensional ones are channels last.
    """

    tensors: dict[str, Tensor]
    _prepared: dict[tuple[str, str], Tensor] = field(default_factory=dict)

    def prepared(self, name: str, layout: str, prepare: Callable[[Tensor], Tensor]) -> Tensor:
        """Return a weight in a layout that some kernel wants, computed on first use: before a graph is captured."""
        key = (name, layout)
        if key not in self._prepared:
            self._prepared[key] = prepare(self.tensors[name])
        return self._prepared[key]

    @property
    def bytes(self) -> int:
        """What they take on the device."""
        return sum(tensor.nbytes for tensor in (*self.tensors.values(), *self._prepared.values()))


@final
class Operands:
    """What a step reads, and where its result goes.

    Args:
        step: what is to be done.
        read: returns the channels of a place, (N, C, H, W) channels last.
        room: makes the memory for the channels of a place, or returns what is there.
        weights: of the network.
        settings: how a kernel is to cut up its work; its own choice if None.
    """

    def __init__(
        self,
        step: Step,
        read: Callable[[Place], Tensor],
        room: Callable[[Place], Tensor],
        weights: Weights,
        settings: object = None,
    ) -> None:
        self.step, self.weights, self._room, self.settings = step, weights, room, settings
        self.x = read(step.x)
        self.addend = None if step.addend is None else read(step.addend)
        self.residual = None if step.residual is None else read(step.residual)
        self.gate = None if step.gate is None else read(step.gate)

    @property
    def out(self) -> Tensor:
        """Memory for the result."""
        return self._room(self.step.out)

    @property
    def copy(self) -> Tensor | None:
        """Memory for the last channels of the result, where they go to a second place."""
        return None if self.step.copy is None else self._room(self.step.copy)

    @property
    def summed(self) -> Tensor:
        """`x`, with the addend where there is one: then in new memory, channels last."""
        return self.x if self.addend is None else torch.add(self.x, self.addend)

    @property
    def window(self) -> library.Window:
        """How a convolution moves."""
        step = self.step
        return library.Window(stride=step.stride, padding=step.padding, dilation=step.dilation, groups=step.groups)

    def weight(self, index: int) -> Tensor:
        """Return one of the step's weights."""
        return self.weights.tensors[self.step.weights[index]]

    @property
    def bias(self) -> Tensor | None:
        """Of a convolution."""
        return self.weight(1) if self.step.has_bias else None

    @property
    def bias_or_zeros(self) -> Tensor:
        """The same, zeros where there is none."""
        if self.step.has_bias:
            return self.weight(1)
        name = self.step.weights[0]
        return self.weights.prepared(name, "no bias", lambda weight: weight.new_zeros(len(weight)))


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to do steps of a kind.

    Attributes:
        name: how records call it.
        kind: of the steps.
        takes: whether it does a step of that kind.
        run: does it; returns `out`, or the result in memory of its own.
        ours: whether it launches one of our kernels.
        by_default: for which steps it is taken unmeasured, where our kernels are wanted; for none if None.
        settings: rows of its kernel's table that are worth a try, the first of them its own choice.
    """

    name: str
    kind: Kind
    takes: Callable[[Step], bool]
    run: Callable[[Operands], Tensor]
    ours: bool = False
    by_default: Callable[[ProgramRecord, Step], bool] | None = None
    settings: Callable[[Operands], tuple[object, ...]] | None = None


def _cudnn(operands: Operands) -> Tensor:
    x, weight, step = operands.summed, operands.weight(0), operands.step
    if operands.residual is not None:
        result = library.convolution_add_relu(x, weight, operands.bias_or_zeros, operands.residual, operands.window)
    elif step.relu:
        result = library.convolution_relu(x, weight, operands.bias_or_zeros, operands.window)
    else:
        result = library.convolution(x, weight, operands.window)
        result = result if operands.bias is None else result.add_(operands.bias[:, None, None])
    return _copied(operands, result)


def _pair(operands: Operands) -> Tensor:
    """The convolution by cuDNN, then the 1x1 by what would do it apart."""
    w1, b1, w2, b2 = (operands.weight(index) for index in range(4))
    inner = library.convolution_relu(operands.x, w1, b1, operands.window)
    if operands.residual is not None:
        return library.convolution_add_relu(inner, w2, b2, operands.residual, library.Window())
    out = operands.out
    library.product(library.rows(inner), w2[:, :, 0, 0], b2, library.rows(out), relu=operands.step.relu)
    return out


def _cublaslt(operands: Operands) -> Tensor:
    return _copied(operands, product(operands, operands.out, relu=operands.step.relu))


def _copied(operands: Operands, result: Tensor) -> Tensor:
    """Copy the last channels of a result to where they go, too, a pass that a library needs; return the result."""
    if operands.copy is not None:
        operands.copy.copy_(result[:, -operands.copy.shape[1] :])
    return result


def product(operands: Operands, out: Tensor, *, relu: bool) -> Tensor:
    """Write the result of a 1x1 convolution, of any stride, by cuBLASLt, and return it."""
    step = operands.step
    x = operands.summed[:, :, :: step.stride, :: step.stride]
    bias = operands.bias_or_zeros if relu else operands.bias
    matrix = operands.weight(0)[:, :, 0, 0]
    images, channels, height, width = out.shape
    flat = out.permute(0, 2, 3, 1).view(images * height * width, channels)
    library.product(library.rows(x), matrix, bias, flat, relu=relu)
    return out


def _cublaslt_gated(operands: Operands) -> Tensor:
    y = product(operands, ungated(operands), relu=False)
    library.gated_relu(y, *gate_and_residual(operands), operands.out)
    return operands.out


def _pool(operands: Operands) -> Tensor:
    step = operands.step
    window = {"kernel": step.kernel, "stride": step.stride, "padding": step.padding}
    if step.maximum:
        if step.dilation > 1:
            raise BackendError("no way takes the maximum of pixels that are apart")
        return library.maximum_pool(operands.x, **window)
    return library.average_pool(operands.x, **window, dilation=step.dilation, counts_padding=step.counts_padding)


def _excite(operands: Operands) -> Tensor:
    w1, b1, w2, b2 = (operands.weight(index) for index in range(4))
    mean = library.mean(operands.x)
    squeezed, excited = mean.new_empty(len(mean), len(w1)), operands.out[:, :, 0, 0]
    library.product(mean, w1, b1, squeezed, relu=True)
    library.product(squeezed, w2, b2, excited)
    excited.sigmoid_()
    return operands.out


def _apply(operands: Operands) -> Tensor:
    library.gated_relu(operands.x, *gate_and_residual(operands), operands.out)
    return operands.out


def _classify(operands: Operands) -> Tensor:
    library.product(library.mean(operands.x), operands.weight(0), operands.weight(1), operands.out[:, :, 0, 0])
    return operands.out


def ungated(operands: Operands) -> Tensor:
    """Return memory for the result of a convolution before its gate."""
    return torch.empty_like(operands.out, memory_format=torch.channels_last)


def gate_and_residual(operands: Operands) -> tuple[Tensor, Tensor]:
    """Return the gate, (N, C, 1, 1), and the residual of a step that has both.

    Raises:
        BackendError: it has not.
    """
    if operands.gate is None or operands.residual is None:
        raise BackendError(f"a step {operands.step.kind!r} without a gate or a residual")
    return operands.gate, operands.residual


def lies_in(result: Tensor, value: Tensor) -> bool:
    """Whether a result is where it belongs already; a library may have returned it in memory of its own."""
    return result.untyped_storage().data_ptr() == value.untyped_storage().data_ptr()


def is_product(step: Step) -> bool:
    """Whether a convolution is a matrix product: one pixel, one group."""
    return step.kernel == 1 and step.groups == 1


def _any(step: Step) -> bool:
    return True


LIBRARY = (
    # A convolution without ReLU is cuDNN's where no bias is added: with one it would take a second pass.
    Way(
        name="cudnn",
        kind="convolve",
        takes=lambda step: step.gate is None and (step.relu or not (is_product(step) and step.has_bias)),
        run=_cudnn,
    ),
    Way(
        name="cublaslt",
        kind="convolve",
        takes=lambda step: is_product(step) and step.gate is None and step.residual is None,
        run=_cublaslt,
    ),
    Way(
        name="cublaslt_gated",
        kind="convolve",
        takes=lambda step: is_product(step) and step.gate is not None,
        run=_cublaslt_gated,
    ),
    Way(name="cudnn_pair", kind="pair", takes=_any, run=_pair),
    Way(name="aten_pool", kind="pool", takes=_any, run=_pool),
    Way(name="cublaslt_excite", kind="excite", takes=_any, run=_excite),
    Way(name="aten_apply", kind="apply", takes=_any, run=_apply),
    Way(name="cublaslt_classify", kind="classify", takes=_any, run=_classify),
)
"""That need PyTorch alone; one of them takes every step that `arrange` writes."""
