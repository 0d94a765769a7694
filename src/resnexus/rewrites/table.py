"""The exact rewrites of a network, one row each, and their application in the order that lets them combine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch

from resnexus.architectures.spec import Architecture
from resnexus.errors import ResnexusError, unknown
from resnexus.rewrites.folding import AnyNetwork, cast, fold_batch_norm
from resnexus.rewrites.gating import gate_before_projection, has_gated_projection
from resnexus.rewrites.groups import has_groups, pack_groups
from resnexus.rewrites.pooling import pool_into_projection, pools_shortcut
from resnexus.rewrites.res2 import (
    has_res2_without_groups,
    has_unchained_res2,
    is_res2,
    res2_aligned_widths,
    res2_grouped_stride2,
    res2_separate_entries,
    res2_summed_projection,
    res2_without_copies,
)


class Apply(Protocol):
    """A function network -> rewritten copy."""

    def __call__(self, network: AnyNetwork, /) -> AnyNetwork:
        """Return the rewritten copy."""
        ...


@dataclass(frozen=True, kw_only=True)
class Rewrite:
    """A function from a network to one that computes the same in another way.

    Attributes:
        name: how plans and the command line call it.
        what: what changes, in one sentence.
        formula: the identity it rests on.
        why: what it saves and what it costs.
        where: the networks it applies to, in words.
        applies: the same, asked of a row.
        apply: the rewrite itself; its argument stays as it is.
    """

    name: str
    what: str
    formula: str
    why: str
    where: str
    applies: Callable[[Architecture], bool]
    apply: Apply


def _pack(width: int) -> Rewrite:
    return Rewrite(
        name=f"pack_groups_{width}",
        what=f"Grouped convolutions get groups of {width} channels, each a block-diagonal pack of the original ones.",
        formula="p convolutions side by side = one convolution with the p weights on its diagonal and zeros elsewhere",
        why="Fills vectors and tiles that a group of 4 channels leaves empty; weights and multiply-adds of these "
        "convolutions grow p times. Pays where the library has no good kernel for narrow groups.",
        where="rows with groups > 1",
        applies=has_groups,
        apply=partial(pack_groups, width=width),
    )


def _align(multiple: int) -> Rewrite:
    return Rewrite(
        name=f"res2_aligned_widths_{multiple}",
        what=f"The parts of a Res2 block are padded with zero channels to a multiple of {multiple}.",
        formula="conv([x, 0]; [[W, 0], [0, 0]]) = [conv(x; W), 0]",
        why="Widths such as 26 and 14 leave vectors half empty and slices unaligned; costs the multiply-adds of the "
        "zero channels.",
        where="rows with block='res2' and groups=1",
        applies=has_res2_without_groups,
        apply=partial(res2_aligned_widths, multiple=multiple),
    )


# In the order in which they are applied: every rewrite leaves what those after it look for.
_ROWS = (
    Rewrite(
        name="fold_batch_norm",
        what="Batch normalisations become the scale of the weights and the bias of the convolutions before them.",
        formula="W' = s W, b' = beta - s mean, s = gamma / sqrt(variance + eps), in float64, cast once",
        why="Removes a pass over every activation; costs nothing. All other rewrites do this first.",
        where="every row",
        applies=lambda row: True,
        apply=fold_batch_norm,
    ),
    _align(8),
    _align(16),
    Rewrite(
        name="res2_grouped_stride2",
        what="The independent 3x3 convolutions of a Res2 block that does not chain its parts become one grouped one.",
        formula="[conv(x_0; W_0), .., conv(x_n; W_n)] = grouped conv([x_0 .. x_n]; [W_0 .. W_n])",
        why="One launch instead of scale - 1 in three or four blocks; costs nothing.",
        where="rows with block='res2', scale > 2 and a block of stride 2 (cascade='authors': any row)",
        applies=has_unchained_res2,
        apply=res2_grouped_stride2,
    ),
    Rewrite(
        name="res2_separate_entries",
        what="The first 1x1 of a Res2 block becomes one 1x1 per part.",
        formula="relu(W x + b)[part] = relu(W[part] x + b[part])",
        why="Nothing is sliced, so nothing is copied; x is read once per part.",
        where="rows with block='res2'",
        applies=is_res2,
        apply=res2_separate_entries,
    ),
    Rewrite(
        name="res2_summed_projection",
        what="The last 1x1 of a Res2 block becomes a sum of 1x1 convolutions, one per part.",
        formula="W cat(y_0 .. y_n) + b = W_0 y_0 + .. + W_n y_n + b",
        why="Nothing is concatenated; the output is read and written once per part, which pays only where a "
        "convolution adds to its output in place.",
        where="rows with block='res2'",
        applies=is_res2,
        apply=res2_summed_projection,
    ),
    Rewrite(
        name="res2_without_copies",
        what="Res2 blocks neither slice nor concatenate: res2_separate_entries and res2_summed_projection together.",
        formula="the two identities of its parts",
        why="What its parts save and cost, together.",
        where="rows with block='res2'",
        applies=is_res2,
        apply=res2_without_copies,
    ),
    _pack(16),
    _pack(32),
    _pack(64),
    Rewrite(
        name="pool_into_projection",
        what="Average pool 2x2 and 1x1 convolution of a shortcut become one 2x2 convolution of stride 2.",
        formula="W mean2x2(x) + b = conv2x2(x; W / 4) + b; an odd last row or column is repeated first",
        why="One launch less per stage; four times the multiply-adds of the shortcut, about 22 % more of a 50-layer "
        "network. Pays only where launches bind.",
        where="rows with shortcut='pool' and at least two stages",
        applies=pools_shortcut,
        apply=pool_into_projection,
    ),
    Rewrite(
        name="gate_before_projection",
        what="The gate of a block is computed from the input of the branch's last 1x1 convolution.",
        formula="S mean(W z + b) + s = (S W) mean(z) + (S b + s); relu(gate * y + shortcut) in one expression",
        why="The mean reads half or a quarter of the channels, the gate no longer waits for the last convolution, "
        "and the output is passed over once instead of three times; costs nothing.",
        where="rows with se_reduction set and block other than 'basic'",
        applies=has_gated_projection,
        apply=gate_before_projection,
    ),
)

REWRITES = {row.name: row for row in _ROWS}

_FREE = ("fold_batch_norm", "gate_before_projection")


def rewrite(name: str) -> Rewrite:
    """Return the rewrite called `name`.

    Raises:
        ResnexusError: no rewrite is called that.
    """
    if name not in REWRITES:
        raise unknown("rewrite", name, REWRITES)
    return REWRITES[name]


def explain(name: str) -> str:
    """Return in words what the rewrite called `name` does, why it is exact, what it saves, and where it applies.

    Raises:
        ResnexusError: no rewrite is called that.
    """
    row = rewrite(name)
    return f"{row.name}\n  {row.what}\n  Exact because: {row.formula}.\n  Why: {row.why}\n  Applies to: {row.where}."


def applicable(row: Architecture) -> list[str]:
    """Return the names of the rewrites that apply to a row, in the order in which they are applied."""
    return [name for name, entry in REWRITES.items() if entry.applies(row)]


def free(row: Architecture) -> tuple[str, ...]:
    """Return the names of the rewrites that apply to a row and cost nothing anywhere."""
    return tuple(name for name in _FREE if REWRITES[name].applies(row))


def rewritten(network: AnyNetwork, names: Iterable[str]) -> AnyNetwork:
    """Return a copy of a network with several rewrites, applied in the order of `REWRITES` whatever that of `names`.

    Everything is computed in float64 and cast once, to the network's dtype.

    Args:
        network: left as it is.
        names: of rewrites; none gives a copy for inference.

    Raises:
        ResnexusError: an unknown name, a rewrite that does not apply to the network, or a weight that does not fit
            its dtype.
    """
    wanted = [rewrite(name) for name in dict.fromkeys(names)]
    row = network.architecture
    for entry in wanted:
        if not entry.applies(row):
            raise ResnexusError(f"{entry.name} does not apply to {row.name}: it is for {entry.where}")
    dtype = next(network.parameters()).dtype
    result = cast(network, torch.float64)
    for entry in sorted(wanted, key=_ROWS.index):
        result = entry.apply(result)
    return cast(result, dtype)
