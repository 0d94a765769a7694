"""How our kernels are called: only then is Triton imported, and workspaces come from the caller's allocator."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from resnexus.acceleration.cuda.ways import Operands

_KERNELS = "resnexus.acceleration.cuda.kernels"


def kernel(module: str) -> Any:
    """Return the module of a kernel."""
    return import_module(f"{_KERNELS}.{module}")  # only here: it imports Triton


def scratch(like: Tensor, numbers: int) -> Tensor | None:
    """Return memory for the parts of sums; what a graph captures has it in its pool, and gives it back at once."""
    return torch.empty(numbers, dtype=torch.float32, device=like.device) if numbers else None


def parts(out: Tensor, row: object) -> Tensor | None:
    """Return memory for the sums of a product that is cut into parts."""
    return scratch(out, kernel("epilogue").workspace_numbers(out, row))


def packed(operands: Operands) -> Tensor:
    """Return the weight of a 3x3, narrow groups joined to the packs that tensor cores multiply."""
    step = operands.step
    if step.groups == 1:
        return operands.weight(0)
    join = kernel("grouped").packed
    return operands.weights.prepared(step.weights[0], "packs", lambda own: join(own, step.groups))


def first(module: str, candidates: str, own: str, *given: str) -> Callable[[Operands], tuple[object, ...]]:
    """Return a function that gives the rows worth a try, the kernel's own choice first."""

    def rows(operands: Operands) -> tuple[object, ...]:
        found = kernel(module)
        tensors = [_GIVEN[name](operands) for name in given]
        chosen = getattr(found, own)(*tensors)
        return (chosen, *(row for row in getattr(found, candidates)(*tensors) if row != chosen))

    return rows


_GIVEN: dict[str, Callable[[Operands], Tensor]] = {
    "x": lambda operands: operands.x,
    "out": lambda operands: operands.out,
    "logits": lambda operands: operands.out[:, :, 0, 0],
    "weight": packed,
}
