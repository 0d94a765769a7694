"""Rewrites of Res2 networks: no splits, no concatenations, fewer and aligned convolutions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from resnexus.architectures.blocks import Res2Branch, ResidualBlock
from resnexus.architectures.spec import Architecture
from resnexus.errors import ResnexusError
from resnexus.rewrites.cascade import Cascade, CascadeBranch, SummedProjection
from resnexus.rewrites.folding import AnyNetwork, BiasedConv, biased, blocks, conv_from, fold_batch_norm


def is_res2(row: Architecture) -> bool:
    """Whether the row's blocks are Res2 blocks."""
    return row.block == "res2"


def has_res2_without_groups(row: Architecture) -> bool:
    """Whether the row's blocks are Res2 blocks whose 3x3 convolutions have no groups."""
    return row.block == "res2" and row.groups == 1


def has_unchained_res2(row: Architecture) -> bool:
    """Whether some Res2 block does not chain its parts: the first of a stage that halves the image, or of any."""
    return row.block == "res2" and row.scale > 2 and (len(row.depths) > 1 or row.cascade == "authors")


def res2_separate_entries(network: AnyNetwork) -> AnyNetwork:
    """Return a folded copy whose Res2 blocks have one first 1x1 per part, so that nothing is sliced.

    relu(W x + b)[part] = relu(W[part] x + b[part]).

    Raises:
        ResnexusError: the network has no Res2 blocks, or its gates were moved already.
    """
    return _rewrite(network, "res2_separate_entries", is_res2, _separate_entries)


def res2_summed_projection(network: AnyNetwork) -> AnyNetwork:
    """Return a folded copy whose Res2 blocks end in a sum of 1x1 convolutions over the parts: no concatenation.

    W cat(y_0 .. y_n) + b = sum of W[:, part i] y_i, plus b. Pays where a convolution can add to its output in
    place; elsewhere the wide sums cost more than the narrow concatenation.

    Raises:
        ResnexusError: the network has no Res2 blocks, or its gates were moved already.
    """
    return _rewrite(network, "res2_summed_projection", is_res2, _sum_projection)


def res2_without_copies(network: AnyNetwork) -> AnyNetwork:
    """Return a folded copy whose Res2 blocks neither slice nor concatenate: separate entries, summed projection.

    Raises:
        ResnexusError: the network has no Res2 blocks, or its gates were moved already.
    """
    return _rewrite(network, "res2_without_copies", is_res2, lambda branch: _sum_projection(_separate_entries(branch)))


def res2_grouped_stride2(network: AnyNetwork) -> AnyNetwork:
    """Return a folded copy in which the independent 3x3 convolutions of a Res2 block are one grouped convolution.

    Only blocks that do not chain their parts have independent ones: those of stride 2, or with the authors' cascade
    the first of every stage. scale - 1 launches become one.

    Raises:
        ResnexusError: the network has no such block, or its gates were moved already.
    """
    return _rewrite(network, "res2_grouped_stride2", has_unchained_res2, _group)


def res2_aligned_widths(network: AnyNetwork, multiple: int) -> AnyNetwork:
    """Return a folded copy whose Res2 parts are padded with zero channels to a multiple, 26 -> 32 or 14 -> 16.

    The rows of the first 1x1 and both sides of the 3x3 get zero weights and zero biases, so the extra channels stay
    relu(0) = 0, and the last 1x1 gets zero columns for them.

    Args:
        network: a Res2 network without groups; left as it is.
        multiple: what the channels of a part become a multiple of, e.g. 8 or 16.

    Raises:
        ResnexusError: `multiple` is not positive, the network has no Res2 blocks without groups, or its gates were
            moved already.
    """
    if multiple < 1:
        raise ResnexusError(f"multiple={multiple}: expected the alignment of a part's channels, at least 1")
    name = "res2_aligned_widths"
    return _rewrite(network, name, has_res2_without_groups, lambda branch: _align(branch, multiple))


def _rewrite(
    network: AnyNetwork,
    name: str,
    applies: Callable[[Architecture], bool],
    change: Callable[[CascadeBranch], CascadeBranch],
) -> AnyNetwork:
    row = network.architecture
    if not applies(row):
        raise ResnexusError(
            f"{name} has nothing to rewrite in {row.name}: block={row.block!r}, scale={row.scale}, groups={row.groups}"
        )
    rewritten = fold_batch_norm(network)
    for block in blocks(rewritten):
        if not isinstance(block, ResidualBlock):
            raise ResnexusError(f"{name} comes before gate_before_projection: apply it to a network without that one")
        branch = block.branch
        if isinstance(branch, Res2Branch):
            branch = CascadeBranch.of(branch)
        if isinstance(branch, CascadeBranch):
            block.branch = change(branch)
    rewritten.eval()
    return rewritten


def _separate_entries(branch: CascadeBranch) -> CascadeBranch:
    cascade = branch.cascade
    if len(cascade.entries) > 1:
        return branch
    entries = _parts(biased(cascade.entries[0]), cascade.widths, dim=0)
    return CascadeBranch(_cascade(cascade, entries=entries), branch.projection)


def _sum_projection(branch: CascadeBranch) -> CascadeBranch:
    projection, cascade = branch.projection, branch.cascade
    if isinstance(projection, SummedProjection):
        return branch
    convs = _parts(projection, cascade.widths, dim=1)
    return CascadeBranch(_cascade(cascade, concatenated=False), SummedProjection(convs))


def _group(branch: CascadeBranch) -> CascadeBranch:
    cascade = branch.cascade
    if cascade.chained or len(cascade.splits) == 1:
        return branch
    splits = [biased(split) for split in cascade.splits]
    weight, bias = _joined(splits, dim=0)
    groups = sum(split.conv.groups for split in splits)
    grouped = BiasedConv(conv_from(weight, bias, splits[0].conv, groups=groups), relu=True)
    cells = [tuple(width for part in cascade.cells[:-1] for width in part), cascade.cells[-1]]
    entries = [biased(entry) for entry in cascade.entries]
    if len(entries) > 1:
        weight, bias = _joined(entries[:-1], dim=0)
        entries = [BiasedConv(conv_from(weight, bias, entries[0].conv), relu=True), entries[-1]]
    projection = branch.projection
    if isinstance(projection, SummedProjection):
        convs = [biased(conv) for conv in projection.convs]
        weight, bias = _joined(convs[:-1], dim=1)
        projection = SummedProjection([BiasedConv(conv_from(weight, bias, convs[0].conv), relu=False), convs[-1]])
    return CascadeBranch(_cascade(cascade, entries=entries, splits=[grouped], cells=cells), projection)


def _align(branch: CascadeBranch, multiple: int) -> CascadeBranch:
    cascade = branch.cascade
    padded = [tuple(-(-width // multiple) * multiple for width in part) for part in cascade.cells]
    if padded == list(cascade.cells):
        return branch
    per_part = list(zip(cascade.cells, padded, strict=True))
    everything = (sum(cascade.cells, ()), sum(padded, ()))
    entries = [biased(entry) for entry in cascade.entries]
    widened = [everything] if len(entries) == 1 else per_part
    entries = [_pad(entry, rows=cells) for entry, cells in zip(entries, widened, strict=True)]
    splits = [
        _pad(biased(split), rows=cells, columns=(cells[0][:1], cells[1][:1]))
        for split, cells in zip(cascade.splits, per_part[:-1], strict=True)
    ]
    projection = branch.projection
    if isinstance(projection, SummedProjection):
        convs = zip(projection.convs, per_part, strict=True)
        projection = SummedProjection(_pad(biased(conv), columns=cells) for conv, cells in convs)
    else:
        projection = _pad(projection, columns=everything)
    return CascadeBranch(_cascade(cascade, entries=entries, splits=splits, cells=padded), projection)


def _cascade(
    like: Cascade,
    *,
    entries: Sequence[BiasedConv] | None = None,
    splits: Sequence[BiasedConv] | None = None,
    cells: Sequence[tuple[int, ...]] | None = None,
    concatenated: bool | None = None,
) -> Cascade:
    return Cascade(
        map(biased, like.entries) if entries is None else entries,
        map(biased, like.splits) if splits is None else splits,
        like.pool,
        cells=like.cells if cells is None else cells,
        chained=like.chained,
        concatenated=like.concatenated if concatenated is None else concatenated,
    )


def _parts(layer: BiasedConv, widths: Sequence[int], *, dim: int) -> list[BiasedConv]:
    """Cut a 1x1 along its outputs (dim 0, with its bias) or its inputs (dim 1, the bias to the first part)."""
    conv = layer.conv
    weights = torch.split(conv.weight.double(), list(widths), dim=dim)
    biases: Sequence[Tensor | None] = [None] * len(widths)
    if conv.bias is not None:
        bias = conv.bias.double()
        biases = torch.split(bias, list(widths)) if dim == 0 else [bias, *[None] * (len(widths) - 1)]
    pairs = zip(weights, biases, strict=True)
    return [BiasedConv(conv_from(weight, bias, conv), relu=layer.relu) for weight, bias in pairs]


def _joined(layers: Sequence[BiasedConv], *, dim: int) -> tuple[Tensor, Tensor]:
    """Join weights along their outputs or inputs, and the biases that there are."""
    weight = torch.cat([layer.conv.weight.double() for layer in layers], dim=dim)
    return weight, torch.cat([layer.conv.bias.double() for layer in layers if layer.conv.bias is not None])


Widening = tuple[tuple[int, ...], tuple[int, ...]]


def _pad(layer: BiasedConv, *, rows: Widening | None = None, columns: Widening | None = None) -> BiasedConv:
    """Widen the outputs (`rows`) and the inputs (`columns`) of a convolution from cells of channels to wider ones."""
    conv = layer.conv
    weight = conv.weight.double()
    bias = None if conv.bias is None else conv.bias.double()
    if rows is not None:
        weight = _spread(weight, 0, rows)
        bias = None if bias is None else _spread(bias, 0, rows)
    if columns is not None:
        weight = _spread(weight, 1, columns)
    return BiasedConv(conv_from(weight, bias, conv, groups=conv.groups), relu=layer.relu)


def _spread(value: Tensor, dim: int, widening: Widening) -> Tensor:
    """Append zeros to every cell of a dimension."""
    pieces = []
    for piece, width in zip(torch.split(value, list(widening[0]), dim=dim), widening[1], strict=True):
        shape = list(piece.shape)
        shape[dim] = width - shape[dim]
        pieces += [piece, piece.new_zeros(shape)]
    return torch.cat(pieces, dim=dim)
