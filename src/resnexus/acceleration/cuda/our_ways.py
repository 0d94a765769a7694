"""Our kernels as ways to do steps: what each takes, and how it is called.

What passes over memory once, or spares passes, is taken without a measurement where our kernels are wanted. The others
are products that the libraries have too: those run where they were measured to be faster.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from resnexus.acceleration.cuda.steps import ProgramRecord, Step
from resnexus.acceleration.cuda.ways import Operands, Way, gate_and_residual, is_product, product, ungated

_KERNELS = "resnexus.acceleration.cuda.kernels"


def have_kernels(device: str) -> bool:
    """Whether our kernels run on a device here: they need Triton, and on the CPU its interpreter."""
    if find_spec("triton") is None:
        return False
    return device == "cuda" or os.environ.get("TRITON_INTERPRET") == "1"


def _kernel(module: str) -> Any:
    return import_module(f"{_KERNELS}.{module}")  # only here: it imports Triton


def _workspace(like: Tensor, numbers: int) -> Tensor | None:
    """Return memory for the parts of sums; what a graph captures has it in its pool, and gives it back at once."""
    return torch.empty(numbers, dtype=torch.float32, device=like.device) if numbers else None


def _parts(out: Tensor, row: object) -> Tensor | None:
    """Return memory for the sums of a product that is cut into parts."""
    return _workspace(out, _kernel("epilogue").workspace_numbers(out, row))


def _pool(operands: Operands) -> Tensor:
    step, pools, x, out, row = operands.step, _kernel("pools"), operands.x, operands.out, operands.settings
    if step.maximum:
        pools.max_pool_3x3(x, out, settings=row)
    elif step.kernel == 2:
        pools.average_pool_2x2(x, out, settings=row)
    else:
        pools.average_pool_3x3(x, out, stride=step.stride, counts_padding=step.counts_padding, settings=row)
    return out


def _takes_pool(step: Step) -> bool:
    window = (step.kernel, step.stride, step.padding)
    if step.dilation > 1:
        return False
    return window == (3, 2, 1) if step.maximum else window in ((2, 2, 0), (3, 1, 1), (3, 2, 1))


def _excite(operands: Operands) -> Tensor:
    gate, out = _kernel("gate"), operands.out
    weights = [operands.weight(index) for index in range(4)]
    row = operands.settings or gate.excite_default(operands.x)
    workspace = _workspace(out, gate.excite_workspace_numbers(operands.x, len(weights[0]), row))
    gate.excite(operands.x, *weights, out[:, :, 0, 0], workspace=workspace, settings=row)
    return out


def _apply(operands: Operands) -> Tensor:
    gates, residual = gate_and_residual(operands)
    _kernel("gate").apply(operands.x, gates[:, :, 0, 0], residual, operands.out, settings=operands.settings)
    return operands.out


def _classify(operands: Operands) -> Tensor:
    head, logits = _kernel("head"), operands.out[:, :, 0, 0]
    row = operands.settings or head.mean_linear_default(operands.x, logits)
    workspace = _workspace(logits, head.mean_linear_workspace_numbers(operands.x, logits, row))
    weight, bias = operands.weight(0), operands.weight(1)
    head.mean_linear(operands.x, weight, bias, logits, workspace=workspace, settings=row)
    return operands.out


def _gated_by_kernel(operands: Operands) -> Tensor:
    """CuBLASLt for the product, then gate, residual and ReLU in one pass."""
    y = product(operands, ungated(operands), relu=False)
    gates, residual = gate_and_residual(operands)
    _kernel("gate").apply(y, gates[:, :, 0, 0], residual, operands.out)
    return operands.out


def _pointwise(operands: Operands) -> Tensor:
    pointwise, out, step = _kernel("pointwise"), operands.out, operands.step
    row = operands.settings or pointwise.default(operands.x, out)
    gates = None if operands.gate is None else operands.gate[:, :, 0, 0]
    pointwise.conv1x1(
        operands.summed,
        operands.weight(0),
        operands.bias,
        operands.residual,
        out,
        relu=step.relu,
        stride=step.stride,
        gate=gates,
        copy=operands.copy,
        workspace=_parts(out, row),
        settings=row,
    )
    return out


def _three_by_three(operands: Operands) -> Tensor:
    res2, out, step = _kernel("res2"), operands.out, operands.step
    weight = _packed(operands)
    row = operands.settings or res2.default(operands.x, weight, out)
    res2.conv3x3(
        operands.x,
        operands.addend,
        weight,
        operands.bias,
        out,
        stride=step.stride,
        residual=operands.residual,
        relu=step.relu,
        workspace=_parts(out, row),
        settings=row,
    )
    return out


def _packed(operands: Operands) -> Tensor:
    """Return the weight of a 3x3, narrow groups joined to the packs that tensor cores multiply."""
    step = operands.step
    if step.groups == 1:
        return operands.weight(0)
    packed = _kernel("grouped").packed
    return operands.weights.prepared(step.weights[0], "packs", lambda own: packed(own, step.groups))


def _takes_three_by_three(step: Step) -> bool:
    plain = step.kernel == 3 and step.padding == 1 and step.dilation == 1 and step.gate is None
    return plain and (step.groups == 1 or step.x.channels == step.out.channels)


def _spares_copies(record: ProgramRecord, step: Step) -> bool:
    """Whether a 3x3 reads or writes some channels of a value, which the library copies; or its bias is a pass more."""
    parts = [place.channels < record.values[place.value].channels for place in (step.x, step.out)]
    return any(parts) or (step.has_bias and not step.relu)


def _grouped(operands: Operands) -> Tensor:
    grouped, out = _kernel("grouped"), operands.out
    weight = _packed(operands)
    row = operands.settings or grouped.default(operands.x, weight, out)
    stride, workspace = operands.step.stride, _parts(out, row)
    grouped.conv3x3(operands.x, weight, operands.bias, out, stride=stride, workspace=workspace, settings=row)
    return out


def _stem(operands: Operands) -> Tensor:
    stem, step = _kernel("stem"), operands.step
    convolve = stem.conv3x3 if step.kernel == 3 else stem.conv7x7
    weight = operands.weight(0)
    convolve(operands.x, weight, operands.bias, operands.out, stride=step.stride, settings=operands.settings)
    return operands.out


def _takes_stem(step: Step) -> bool:
    window = (step.kernel, step.stride, step.padding, step.dilation, step.groups)
    plain = step.relu and step.residual is None and step.gate is None and step.addend is None
    return plain and step.x.channels <= 4 and window in ((3, 1, 1, 1, 1), (3, 2, 1, 1, 1), (7, 2, 3, 1, 1))


def _takes_grouped(step: Step) -> bool:
    plain = step.relu and step.residual is None and step.addend is None
    return plain and step.groups > 1 and _takes_three_by_three(step)


def _first(module: str, candidates: str, own: str, *given: str) -> Callable[[Operands], tuple[object, ...]]:
    """Return a function that gives the rows worth a try, the kernel's own choice first."""

    def rows(operands: Operands) -> tuple[object, ...]:
        kernel = _kernel(module)
        tensors = [_GIVEN[name](operands) for name in given]
        chosen = getattr(kernel, own)(*tensors)
        return (chosen, *(row for row in getattr(kernel, candidates)(*tensors) if row != chosen))

    return rows


_GIVEN: dict[str, Callable[[Operands], Tensor]] = {
    "x": lambda operands: operands.x,
    "out": lambda operands: operands.out,
    "logits": lambda operands: operands.out[:, :, 0, 0],
    "weight": _packed,
}


def _always(record: ProgramRecord, step: Step) -> bool:
    return True


OURS = (
    Way(
        name="pools",
        kind="pool",
        takes=_takes_pool,
        run=_pool,
        ours=True,
        by_default=_always,
        settings=_first("pools", "candidates", "default", "x", "out"),
    ),
    Way(
        name="gate_excite",
        kind="excite",
        takes=lambda step: True,
        run=_excite,
        ours=True,
        by_default=_always,
        settings=_first("gate", "excite_candidates", "excite_default", "x"),
    ),
    Way(
        name="gate_apply",
        kind="apply",
        takes=lambda step: True,
        run=_apply,
        ours=True,
        by_default=_always,
        settings=_first("gate", "apply_candidates", "apply_default", "x"),
    ),
    Way(
        name="head",
        kind="classify",
        takes=lambda step: True,
        run=_classify,
        ours=True,
        by_default=_always,
        settings=_first("head", "mean_linear_candidates", "mean_linear_default", "x", "logits"),
    ),
    Way(
        name="cublaslt_gate_apply",
        kind="convolve",
        takes=lambda step: is_product(step) and step.gate is not None,
        run=_gated_by_kernel,
        ours=True,
        by_default=_always,
    ),
    Way(
        name="res2",
        kind="convolve",
        takes=_takes_three_by_three,
        run=_three_by_three,
        ours=True,
        by_default=_spares_copies,
        settings=_first("res2", "candidates", "default", "x", "weight", "out"),
    ),
    Way(
        name="pointwise",
        kind="convolve",
        takes=is_product,
        run=_pointwise,
        ours=True,
        by_default=lambda record, step: step.copy is not None,
        settings=_first("pointwise", "candidates", "default", "x", "out"),
    ),
    Way(
        name="grouped",
        kind="convolve",
        takes=_takes_grouped,
        run=_grouped,
        ours=True,
        settings=_first("grouped", "candidates", "default", "x", "weight", "out"),
    ),
    Way(
        name="stem",
        kind="convolve",
        takes=_takes_stem,
        run=_stem,
        ours=True,
        settings=_first("stem", "candidates", "default", "x", "weight", "out"),
    ),
)
