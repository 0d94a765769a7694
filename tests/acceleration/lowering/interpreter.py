"""What a program means, in plain PyTorch: the reference that every engine is compared with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F

from resnexus.acceleration.backends.contract import Output, as_output
from resnexus.acceleration.lowering.operations import Conv, Gated, Lowered, Mean, Move, Operation, Pool, Value, View

_ACTIVATIONS = {"none": lambda x: x, "relu": F.relu, "sigmoid": torch.sigmoid}


def interpret(program: Lowered, images: Tensor) -> Output:
    """Return the logits or maps of images (N, in_chans, H, W) of the dtype of the weights, operation by operation.

    What is read before it was written is not a number.
    """
    found: dict[Value, Tensor] = {program.images: images}

    def read(view: View) -> Tensor:
        return found[view.value][:, view.channels]

    for operation in program.operations():
        result = _computed(operation, read)
        value = operation.out.value
        if value not in found:
            shape = (len(images), value.channels, *value.size((images.shape[2], images.shape[3])))
            found[value] = images.new_full(shape, torch.nan)
        target = read(operation.out)
        if target.shape != result.shape:
            raise ValueError(f"{value.name}: expected {tuple(target.shape)}, computed {tuple(result.shape)}")
        target.copy_(result)
    return as_output([found[value] if value.reduction else found[value][:, :, 0, 0] for value in program.outputs])


def _computed(operation: Operation, read: Callable[[View], Tensor]) -> Tensor:
    x = read(operation.x)
    match operation:
        case Conv():
            if operation.addend is not None:
                x = x + read(operation.addend)
            result = F.conv2d(
                x,
                operation.weight,
                operation.bias,
                operation.stride,
                operation.padding,
                operation.dilation,
                operation.groups,
            )
            if operation.gate is not None:
                result = result * read(operation.gate)
            if operation.residual is not None:
                result = result + read(operation.residual)
            return _ACTIVATIONS[operation.activation](result)
        case Pool():
            return _pooled(x, operation)
        case Mean():
            return x.mean((2, 3), keepdim=True)
        case Gated():
            return F.relu(read(operation.gate) * x + read(operation.residual))
        case Move():
            return x


def _pooled(x: Tensor, pool: Pool) -> Tensor:
    if pool.dilation > 1:  # pools over the pixels that are so far apart, side by side
        result, apart = torch.empty_like(x), pool.dilation
        for down, across in product(range(min(apart, x.shape[2])), range(min(apart, x.shape[3]))):
            grid = (..., slice(down, None, apart), slice(across, None, apart))
            result[grid] = _pooled(x[grid], replace(pool, dilation=1, padding=pool.padding // apart))
        return result
    kernel, stride, padding = pool.kernel, pool.stride, pool.padding
    after = [(-(-size // stride) - 1) * stride + kernel - padding - size for size in x.shape[2:]]
    around = (padding, after[1], padding, after[0])  # less than nothing cuts off what no window reaches
    if pool.maximum:
        return F.max_pool2d(F.pad(x, around, value=-torch.inf), kernel, stride)
    result = F.avg_pool2d(F.pad(x, around), kernel, stride)
    if pool.counts_padding:
        return result
    return result / F.avg_pool2d(F.pad(torch.ones_like(x), around), kernel, stride)
