from __future__ import annotations

from operator import itemgetter

import pytest
import torch
from torch import nn

from resnexus.architectures.spec import Architecture
from resnexus.errors import ResnexusError
from resnexus.rewrites.cascade import CascadeBranch, SummedProjection
from resnexus.rewrites.folding import fold_batch_norm
from resnexus.rewrites.res2 import (
    res2_aligned_widths,
    res2_grouped_stride2,
    res2_separate_entries,
    res2_summed_projection,
    res2_without_copies,
)
from tests.sampled import sampled

ROW = Architecture(name="tiny", block="res2", depths=(2, 2), width=13, scale=4, out_width=32, stem="small")


def _operators(network, images: torch.Tensor) -> set[str]:
    graph = torch.export.export(network, (images,)).graph
    return {str(node.target).rpartition(".")[0] for node in graph.nodes}


@pytest.mark.thorough  # exports every network
def test_what_is_copied(random_network):
    images = torch.randn(1, 3, 8, 8, dtype=torch.float64)
    network = random_network(ROW)
    split, joined = "aten.split_with_sizes", "aten.cat"
    assert {split, joined} <= _operators(res2_aligned_widths(network, 1), images)
    assert split not in _operators(res2_separate_entries(network), images)
    assert joined not in _operators(res2_summed_projection(network), images)
    assert not {split, joined} & _operators(res2_without_copies(network), images)


def _convs(branch: nn.Module) -> list[tuple[int, int, int]]:
    convs = [module for module in branch.modules() if isinstance(module, nn.Conv2d)]
    return [(conv.in_channels, conv.out_channels, conv.groups) for conv in convs]


def test_only_blocks_that_do_not_chain_are_grouped(random_network):
    grouped = res2_grouped_stride2(random_network(ROW))
    chained = [(13, 13, 1)] * 3
    assert _convs(grouped.stages[0][0].branch) == [(16 * 4, 52, 1), *chained, (52, 32, 1)]
    assert _convs(grouped.stages[1][0].branch) == [(32, 104, 1), (78, 78, 3), (104, 64, 1)]
    assert len(_convs(grouped.stages[1][1].branch)) == 5
    authors = res2_grouped_stride2(random_network(ROW, cascade="authors"))
    assert _convs(authors.stages[0][0].branch)[1] == (39, 39, 3)


@pytest.mark.parametrize("first", [res2_separate_entries, res2_summed_projection, res2_without_copies])
def test_grouping_after_the_other_rewrites_is_grouping_before_them(first, random_network):
    network = random_network(ROW)
    images = torch.randn(2, 3, 9, 8, dtype=torch.float64)
    one, other = res2_grouped_stride2(first(network)), first(res2_grouped_stride2(network))
    assert str(one) == str(other)
    with torch.inference_mode():
        torch.testing.assert_close(one(images), other(images), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(one(images), network(images), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("multiple", "widths"),
    sampled([(1, (13, 26)), (8, (16, 32)), (16, (16, 32)), (5, (15, 30))], [1, 8], itemgetter(0)),
)
def test_parts_are_padded_to_the_multiple(multiple, widths, random_network):
    network = random_network(ROW)
    images = torch.randn(2, 3, 9, 8, dtype=torch.float64)
    plain = res2_aligned_widths(network, 1)
    for before in (lambda net: net, res2_without_copies, res2_grouped_stride2):
        padded = res2_aligned_widths(before(network), multiple)
        for stage, width in zip(padded.stages, widths, strict=True):
            assert stage[1].branch.cascade.widths == [width] * 4
        with torch.inference_mode():
            torch.testing.assert_close(padded(images), plain(images), rtol=1e-12, atol=1e-12)


def test_padded_channels_are_exactly_zero(random_network):
    branch = res2_aligned_widths(random_network(ROW), 16).stages[0][1].branch
    with torch.inference_mode():
        parts = branch.cascade(torch.randn(2, 32, 8, 8, dtype=torch.float64)).split(16, dim=1)
    for part in parts:
        assert part[:, 13:].count_nonzero() == 0
        assert part[:, :13].count_nonzero() > 0


def test_the_bias_of_the_projection_is_added_once(random_network):
    network = random_network(ROW)
    projection = res2_summed_projection(network).stages[0][0].branch.projection
    assert isinstance(projection, SummedProjection)
    assert [conv.conv.bias is not None for conv in projection.convs] == [True, False, False, False]
    branch = CascadeBranch.of(fold_batch_norm(network).stages[0][0].branch)
    parts = [torch.zeros(1, 13, 1, 1, dtype=torch.float64)] * 4
    assert torch.equal(projection(parts).flatten(), branch.projection.conv.bias)


def test_refusals(random_network):
    with pytest.raises(ResnexusError, match=r"multiple=0: expected the alignment"):
        res2_aligned_widths(random_network(ROW), 0)
    with pytest.raises(ResnexusError, match=r"res2_aligned_widths has nothing to rewrite in tiny: .*groups=2"):
        res2_aligned_widths(random_network(ROW, groups=2), 16)
    with pytest.raises(ResnexusError, match=r"res2_grouped_stride2 has nothing to rewrite in tiny: .*scale=2"):
        res2_grouped_stride2(random_network(ROW, scale=2))
    with pytest.raises(TypeError, match=r"normalisation folded, found ConvNorm"):
        CascadeBranch.of(random_network(ROW).stages[0][0].branch)
