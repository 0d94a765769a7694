"""Our kernels that multiply matrices, as ways to do steps: convolutions, and pairs of them."""

from __future__ import annotations

from torch import Tensor

from resnexus.acceleration.cuda.kernels.settings import LARGEST_PACK, SMALLEST_PRODUCT, pack_width
from resnexus.acceleration.cuda.our_calls import first, kernel, packed, parts
from resnexus.acceleration.cuda.steps import ProgramRecord, Step
from resnexus.acceleration.cuda.ways import Operands, Way, is_product


def _pointwise(operands: Operands) -> Tensor:
    pointwise, out, step = kernel("pointwise"), operands.out, operands.step
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
        workspace=parts(out, row),
        settings=row,
    )
    return out


def _three_by_three(operands: Operands) -> Tensor:
    res2, out, step = kernel("res2"), operands.out, operands.step
    weight = packed(operands)
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
        workspace=parts(out, row),
        settings=row,
    )
    return out


def _takes_three_by_three(step: Step) -> bool:
    plain = step.kernel == 3 and step.padding == 1 and step.dilation == 1 and step.gate is None
    return plain and (step.groups == 1 or step.x.channels == step.out.channels)


def _spares_copies(record: ProgramRecord, step: Step) -> bool:
    """Whether a 3x3 reads or writes some channels of a value, which the library copies; or its bias is a pass more."""
    partly = [place.channels < record.values[place.value].channels for place in (step.x, step.out)]
    return any(partly) or (step.has_bias and not step.relu)


def _grouped(operands: Operands) -> Tensor:
    grouped, out = kernel("grouped"), operands.out
    weight = packed(operands)
    row = operands.settings or grouped.default(operands.x, weight, out)
    stride, workspace = operands.step.stride, parts(out, row)
    grouped.conv3x3(operands.x, weight, operands.bias, out, stride=stride, workspace=workspace, settings=row)
    return out


def _stem(operands: Operands) -> Tensor:
    stride, weight = operands.step.stride, operands.weight(0)
    kernel("stem").convolve(operands.x, weight, operands.bias, operands.out, stride=stride, settings=operands.settings)
    return operands.out


def _takes_stem(step: Step) -> bool:
    window = (step.kernel, step.stride, step.padding, step.dilation, step.groups)
    plain = step.relu and step.residual is None and step.gate is None and step.addend is None
    return plain and step.x.channels <= 4 and window in ((3, 1, 1, 1, 1), (3, 2, 1, 1, 1), (7, 2, 3, 1, 1))


def _takes_grouped(step: Step) -> bool:
    plain = step.relu and step.residual is None and step.addend is None
    return plain and step.groups > 1 and _takes_three_by_three(step)


def _pair(operands: Operands) -> Tensor:
    fused, out, step = kernel("grouped_pointwise"), operands.out, operands.step
    _, b1, w2, b2 = (operands.weight(index) for index in range(4))
    fused.conv3x3_conv1x1(
        operands.x,
        packed(operands),
        b1,
        w2,
        b2,
        operands.residual,
        out,
        stride=step.stride,
        relu=step.relu,
        settings=operands.settings,
    )
    return out


def _takes_pair(step: Step) -> bool:
    width = pack_width(step.groups, step.x.channels // step.groups)
    return SMALLEST_PRODUCT <= width <= LARGEST_PACK and width & (width - 1) == 0


PRODUCTS = (
    Way(
        name="res2",
        kind="convolve",
        takes=_takes_three_by_three,
        run=_three_by_three,
        ours=True,
        by_default=_spares_copies,
        settings=first("res2", "candidates", "default", "x", "weight", "out"),
    ),
    Way(
        name="pointwise",
        kind="convolve",
        takes=is_product,
        run=_pointwise,
        ours=True,
        by_default=lambda record, step: step.copy is not None,
        settings=first("pointwise", "candidates", "default", "x", "out"),
    ),
    Way(
        name="grouped",
        kind="convolve",
        takes=_takes_grouped,
        run=_grouped,
        ours=True,
        settings=first("grouped", "candidates", "default", "x", "weight", "out"),
    ),
    Way(
        name="stem",
        kind="convolve",
        takes=_takes_stem,
        run=_stem,
        ours=True,
        settings=first("stem", "candidates", "default", "x", "weight", "out"),
    ),
    Way(
        name="grouped_pointwise",
        kind="pair",
        takes=_takes_pair,
        run=_pair,
        ours=True,
        settings=first("grouped_pointwise", "candidates", "default", "x", "weight", "out"),
    ),
)
"""Run where they were measured to be faster than the libraries, but for those that spare copies."""
