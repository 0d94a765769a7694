"""Our kernels as ways to do steps: what each takes, and how it is called.

What passes over memory once, or spares passes, is taken without a measurement where our kernels are wanted. The others
are products that the libraries have too: those run where they were measured to be faster.
"""

from __future__ import annotations

import os
from importlib.util import find_spec

from torch import Tensor

from resnexus.acceleration.cuda.our_calls import first, kernel, scratch
from resnexus.acceleration.cuda.our_products import PRODUCTS
from resnexus.acceleration.cuda.steps import ProgramRecord, Step
from resnexus.acceleration.cuda.ways import Operands, Way, gate_and_residual, is_product, product, ungated


def have_kernels(device: str) -> bool:
    """Whether our kernels run on a device here: they need Triton, and on the CPU its interpreter."""
    if find_spec("triton") is None:
        return False
    return device == "cuda" or os.environ.get("TRITON_INTERPRET") == "1"


def _pool(operands: Operands) -> Tensor:
    step, pools, x, out, row = operands.step, kernel("pools"), operands.x, operands.out, operands.settings
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
    gate, out = kernel("gate"), operands.out
    weights = [operands.weight(index) for index in range(4)]
    row = operands.settings or gate.excite_default(operands.x)
    workspace = scratch(out, gate.excite_workspace_numbers(operands.x, len(weights[0]), row))
    gate.excite(operands.x, *weights, out[:, :, 0, 0], workspace=workspace, settings=row)
    return out


def _apply(operands: Operands) -> Tensor:
    gates, residual = gate_and_residual(operands)
    kernel("gate").apply(operands.x, gates[:, :, 0, 0], residual, operands.out, settings=operands.settings)
    return operands.out


def _classify(operands: Operands) -> Tensor:
    head, logits = kernel("head"), operands.out[:, :, 0, 0]
    row = operands.settings or head.mean_linear_default(operands.x, logits)
    workspace = scratch(logits, head.mean_linear_workspace_numbers(operands.x, logits, row))
    weight, bias = operands.weight(0), operands.weight(1)
    head.mean_linear(operands.x, weight, bias, logits, workspace=workspace, settings=row)
    return operands.out


def _gated_by_kernel(operands: Operands) -> Tensor:
    """CuBLASLt for the product, then gate, residual and ReLU in one pass."""
    y = product(operands, ungated(operands), relu=False)
    gates, residual = gate_and_residual(operands)
    kernel("gate").apply(y, gates[:, :, 0, 0], residual, operands.out)
    return operands.out


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
        settings=first("pools", "candidates", "default", "x", "out"),
    ),
    Way(
        name="gate_excite",
        kind="excite",
        takes=lambda step: True,
        run=_excite,
        ours=True,
        by_default=_always,
        settings=first("gate", "excite_candidates", "excite_default", "x"),
    ),
    Way(
        name="gate_apply",
        kind="apply",
        takes=lambda step: True,
        run=_apply,
        ours=True,
        by_default=_always,
        settings=first("gate", "apply_candidates", "apply_default", "x"),
    ),
    Way(
        name="head",
        kind="classify",
        takes=lambda step: True,
        run=_classify,
        ours=True,
        by_default=_always,
        settings=first("head", "mean_linear_candidates", "mean_linear_default", "x", "logits"),
    ),
    Way(
        name="cublaslt_gate_apply",
        kind="convolve",
        takes=lambda step: is_product(step) and step.gate is not None,
        run=_gated_by_kernel,
        ours=True,
        by_default=_always,
    ),
    *PRODUCTS,
)
