"""What kernels are asked for by networks, collected from their programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch

from resnexus.acceleration.cuda.kernels.settings import Product
from resnexus.acceleration.lowering.lower import lower
from resnexus.acceleration.lowering.operations import Conv, Gated, Lowered, Mean, Move, Operation, Pool, View
from resnexus.architectures.network import Network
from resnexus.architectures.spec import Architecture
from resnexus.rewrites.folding import fold_batch_norm
from resnexus.rewrites.gating import gate_before_projection, has_gated_projection
from resnexus.rewrites.res2 import has_res2_without_groups, res2_aligned_widths

Asked = tuple[str, dict[str, object]]

# Large tiles, of which few are interpreted; what tiles do is another test's matter.
WIDE = Product(pixels=32, outputs=128, depth=128)
DEEP = Product(pixels=32, outputs=128, depth=64)
PACK = Product(pixels=32, outputs=32, depth=32)
PATCH = Product(pixels=32, outputs=64, depth=32)


ALIGNMENTS = (8, 16)
"""Multiples that the widths of Res2 blocks are tried in."""


def asked(
    rows: Iterable[Architecture], *, stages: int = 4, image_size: int | None = None, output_stride: int | None = None
) -> list[Asked]:
    """Return each launch once, by a function of `launches` and its options.

    Args:
        rows: the networks. Only two blocks of a stage are looked at: those after them ask for the same.
        stages: how many of them.
        image_size: pixels on a side of the one image that is looked at; sizes that do not depend on it if None.
        output_stride: of the networks; None for their own. What is dilated is no kernel's of ours.
    """
    found: dict[str, Asked] = {}
    for row in rows:
        short = replace(row, depths=tuple(min(depth, 2) for depth in row.depths[:stages]))
        with torch.device("meta"):
            network = Network(short, output_stride=output_stride).eval()
        programs = [lower(fold_batch_norm(network))]
        if has_res2_without_groups(row):
            programs += [lower(res2_aligned_widths(network, multiple)) for multiple in ALIGNMENTS]
        if has_gated_projection(row):
            programs.append(lower(gate_before_projection(network)))
        for program in programs:
            for launch in _launches(program, image_size):
                found.setdefault(repr(launch), launch)
    return list(found.values())


def _launches(program: Lowered, image_size: int | None) -> Iterator[Asked]:
    operations = list(program.operations())
    copied = {move.x.value: _width(move.x) for move in operations if isinstance(move, Move)}
    for index, operation in enumerate(operations):
        after = operations[index + 1] if index + 1 < len(operations) else None
        for name, options in _asked_by(operation, after, program, copied.get(operation.out.value, 0)):
            reduction = operation.x.value.reduction
            if image_size is None or reduction is None:
                yield name, options
            else:
                side = -(-image_size // reduction)
                yield name, options | {"size": (side, side), "images": 1}


def _asked_by(operation: Operation, after: Operation | None, program: Lowered, copied: int) -> Iterator[Asked]:
    if isinstance(operation, Conv):
        if operation.dilation == 1:
            yield from _conv(operation, after, program, copied)
    elif isinstance(operation, Pool):
        if operation.dilation == 1:
            yield _pool(operation)
    elif isinstance(operation, Mean):
        yield "mean", {"channels": _width(operation.x)}
    elif isinstance(operation, Gated):
        yield "apply", {"channels": _width(operation.x)}


def _conv(operation: Conv, after: Operation | None, program: Lowered, copied: int) -> Iterator[Asked]:
    outputs, per_group, kernel, _ = operation.weight.shape
    channels = _width(operation.x)
    if operation.x.value.reduction is None:
        if operation.activation == "relu" and isinstance(after, Conv):
            yield "excite", {"channels": channels, "hidden": outputs, "gates": after.weight.shape[0]}
        elif operation.activation == "none":
            yield "mean_linear", {"channels": channels, "outputs": outputs, "settings": WIDE}
    elif operation.x.value is program.images:
        yield "stem_conv", {"kernel": kernel, "outputs": outputs, "stride": operation.stride, "settings": PATCH}
    elif kernel == 1:
        yield (
            "conv1x1",
            {
                "channels": channels,
                "outputs": outputs,
                "stride": operation.stride,
                "relu": operation.activation == "relu",
                "residual": operation.residual is not None,
                "gated": operation.gate is not None,
                "copied": copied,
                "settings": WIDE,
            },
        )
    elif operation.groups > 1:
        shape = {"channels": channels, "groups": operation.groups, "stride": operation.stride}
        yield "grouped_conv3x3", shape | {"settings": PACK if per_group <= 32 else None}
        if isinstance(after, Conv) and after.weight.shape[2] == 1 and after.gate is None:
            residual = after.residual is not None
            end = {"outputs": after.weight.shape[0], "residual": residual, "relu": residual, "settings": WIDE}
            yield "grouped_conv3x3_conv1x1", shape | end
    else:
        yield (
            "res2_conv3x3",
            {
                "channels": channels,
                "outputs": outputs,
                "stride": operation.stride,
                "addend": operation.addend is not None,
                "residual": operation.residual is not None,
                "relu": operation.activation == "relu",
                "x_around": _around(operation.x),
                "addend_around": _around(operation.addend or operation.x),
                "out_around": _around(operation.out),
                "settings": DEEP,
            },
        )


def _pool(operation: Pool) -> Asked:
    shape = {
        "channels": _width(operation.x),
        "x_around": _around(operation.x),
        "out_around": _around(operation.out),
    }
    if operation.maximum:
        return "max_pool_3x3", shape
    if operation.kernel == 2:
        return "average_pool_2x2", shape
    return "average_pool_3x3", shape | {"stride": operation.stride, "counts_padding": operation.counts_padding}


def _width(view: View) -> int:
    return view.channels.stop - view.channels.start


def _around(view: View) -> tuple[int, int]:
    return view.channels.start, view.value.channels - view.channels.stop
