"""The mistakes that keep every shape and change the function: what a wrong port looks like."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from resnexus.architectures.blocks import ProjectionShortcut, Res2Branch, SqueezeExcite
from resnexus.architectures.network import Network
from resnexus.architectures.spec import Architecture


@dataclass(frozen=True)
class Trap:
    """One mistake.

    Attributes:
        name: short.
        explanation: what a network that made it computes instead.
        concerns: whether a row can be affected.
        fall: makes the mistake in a network, in place.
    """

    name: str
    explanation: str
    concerns: Callable[[Architecture], bool]
    fall: Callable[[Network], None]


def _authors_cascade(network: Network) -> None:
    first = next(layer for layer in network.modules() if isinstance(layer, Res2Branch))
    first.chained, first.pool = False, nn.AvgPool2d(3, 1, 1, count_include_pad=False)


def _counted_padding(network: Network) -> None:
    for layer in network.modules():
        if isinstance(layer, Res2Branch) and isinstance(layer.pool, nn.AvgPool2d):
            layer.pool.count_include_pad = True


def _authors_variant(network: Network) -> None:
    _authors_cascade(network)
    _counted_padding(network)


def _untransposed_gate(network: Network) -> None:
    for layer in network.modules():
        if isinstance(layer, SqueezeExcite):
            for linear in (layer.squeeze, layer.excite):
                weight = linear.weight.data
                linear.weight.data = weight.T.reshape(weight.shape).contiguous()


def _floored_pool(network: Network) -> None:
    for layer in network.modules():
        if isinstance(layer, ProjectionShortcut) and isinstance(layer.pool, nn.AvgPool2d):
            # What a floored pool would compute cannot be added to the branch; the usual repair is to pad with zeros.
            layer.pool = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.AvgPool2d(2, 2))


def _is_res2(row: Architecture) -> bool:
    return row.block == "res2" and row.cascade == "paddle"


TRAPS = (
    Trap(
        "the authors' Res2Net",
        "the first block of stage 0 does not chain its splits, and the pools count their padding: the function of the "
        "Res2Net authors and of timm; load such weights with cascade='authors'",
        _is_res2,
        _authors_variant,
    ),
    Trap(
        "the authors' cascade",
        "the first block of stage 0 does not chain its splits, as if every first block of a stage had stride 2",
        _is_res2,
        _authors_cascade,
    ),
    Trap(
        "counted padding",
        "the 3x3 average pools of the stride-2 blocks divide by 9 at the border (count_include_pad=True)",
        _is_res2,
        _counted_padding,
    ),
    Trap(
        "untransposed linear layers",
        "the gates' weights were read as (out, in), but are stored as (in, out)",
        lambda row: row.se_reduction is not None,
        _untransposed_gate,
    ),
    Trap(
        "zeros under the pooled shortcut",
        "an odd last row or column is averaged with zeros, not over the pixels it has (ceil_mode)",
        lambda row: row.shortcut == "pool",
        _floored_pool,
    ),
)
