"""The proof that dilation is exact needs no data: every k-th pixel is the plain network's."""

from dataclasses import replace

import pytest
import torch
from kinds import TINY
from torch import nn

from resnexus import ResnexusError, architecture, list_models
from resnexus.architectures.dilation import Grid, grid
from resnexus.architectures.network import FeatureNetwork
from resnexus.architectures.pools import DilatedAvgPool, average_pool
from resnexus.rewrites.table import applicable, rewritten
from tests.sampled import sampled

EXACT = 1e-12
SIZES = [(64, 64), (65, 97), (33, 47)]


def pair(row, output_stride):
    """A network, and the same weights dilated."""
    torch.manual_seed(0)
    plain = FeatureNetwork(row).double().eval()
    for module in plain.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
    dilated = FeatureNetwork(row, output_stride=output_stride).double().eval()
    dilated.load_state_dict(plain.state_dict())
    return plain, dilated


@torch.inference_mode()
def difference(plain, dilated, size):
    """The largest difference of a map's shared pixels, over the largest of them."""
    x, worst = torch.randn(1, 3, *size, dtype=torch.float64), 0.0
    for ours, theirs, feature, wide in zip(plain(x), dilated(x), plain.feature_info, dilated.feature_info, strict=True):
        step = feature.reduction // wide.reduction
        assert theirs.shape[2:] == tuple(-(-side // wide.reduction) for side in size)
        shared = theirs[..., ::step, ::step]
        worst = max(worst, float((shared - ours).abs().max() / ours.abs().max()))
    return worst


def check(row, output_stride, sizes=SIZES):
    plain, dilated = pair(row, output_stride)
    assert max(dilated.feature_info.reduction()) == output_stride
    for size in sizes:
        found = difference(plain, dilated, size)
        if row.se_reduction is None:
            assert found <= EXACT, (size, found)
        else:
            # The gate's mean runs over more pixels: what is left is the price, not a rounding.
            assert 1e-4 < found < 0.5, (size, found)


ROWS = {
    **{f"{kind.name}": replace(kind, depths=(1, 1, 2, 2)) for kind in TINY.values() if kind.stem != "small"},
    "vd": replace(TINY["grouped"], depths=(1, 2, 1, 2), stem="deep", shortcut="pool"),
    "res2_vd": replace(TINY["res2"], depths=(1, 2, 1, 2), stem="deep", shortcut="pool"),
}


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("output_stride", sampled([4, 8, 16, 32], [8, 32]))
def test_every_kth_pixel_is_the_plain_networks(name, output_stride):
    if output_stride == 32:
        assert difference(*pair(ROWS[name], 32), (65, 97)) == 0
    else:
        check(ROWS[name], output_stride)


@pytest.mark.parametrize("output_stride", [1, 2])
def test_with_a_small_stem_too(output_stride):
    check(replace(TINY["small"], depths=(1, 1, 1)), output_stride)


@pytest.mark.slow  # all 28 networks, as deep as they are: ten minutes
@pytest.mark.parametrize("name", list_models())
@pytest.mark.parametrize("output_stride", [8, 16])
def test_every_network_of_the_series_is_exact_but_for_gates(name, output_stride):
    check(architecture(name), output_stride, [(33, 47), (48, 32)])


def test_without_the_rule_for_pools_it_is_not_exact():
    row = ROWS["res2_vd"]
    plain, dilated = pair(row, 8)
    for module in dilated.modules():
        if isinstance(module, DilatedAvgPool):
            module.dilation = 1
    assert difference(plain, dilated, SIZES[0]) > 1e-3
    _, counting = pair(row, 8)
    for module in counting.modules():
        if isinstance(module, DilatedAvgPool):
            module.count_padding = True
    assert difference(plain, counting, SIZES[1]) > 1e-3


@pytest.mark.parametrize("count_padding", [False, True])
@pytest.mark.parametrize("kernel", [2, 3])
def test_a_dilated_pool_by_hand(kernel, count_padding):
    x = torch.randn(2, 3, 11, 8, dtype=torch.float64)
    wide = average_pool(kernel, Grid(stride=2, before=1, after=2), count_padding=count_padding)(x)
    assert wide.shape == x.shape
    plain = average_pool(kernel, Grid(stride=2), count_padding=count_padding)
    if not (kernel == 2 and count_padding):  # a ceiling that counts what is not there does not exist in PyTorch
        assert torch.allclose(wide[..., ::2, ::2], plain(x), atol=1e-14)
    ones = torch.ones(1, 1, 4, 4)
    edge = DilatedAvgPool(kernel, 2, count_padding=count_padding)(ones)[0, 0, -1]
    inside = {2: 0.25, 3: 4 / 9}[kernel] if count_padding else 1.0
    assert torch.allclose(edge[-1], torch.tensor(inside))


def test_the_grid_of_every_block():
    row = replace(ROWS["res2"], depths=(2, 2, 2, 2))
    grids = [[grid(row, stage, block, 8) for block in range(2)] for stage in range(4)]
    assert [[place.step for place in stage] for stage in grids] == [[1, 1], [2, 1], [1, 1], [1, 1]]
    assert [[place.before for place in stage] for stage in grids] == [[1, 1], [1, 1], [1, 2], [2, 4]]
    assert [[place.after for place in stage] for stage in grids] == [[1, 1], [1, 1], [2, 2], [4, 4]]
    assert [stage[0].stride for stage in grids] == [1, 2, 2, 2]


def test_the_cascade_follows_the_row_and_not_the_stride_that_is_left():
    _, dilated = pair(ROWS["res2"], 8)
    assert [stage[0].branch.chained for stage in dilated.stages] == [True, False, False, False]


@pytest.mark.parametrize("name", sampled(ROWS, ["basic", "grouped", "gated", "authors", "vd"]))
def test_dilated_networks_are_rewritten_exactly(name):
    _, dilated = pair(ROWS[name], 8)
    x = torch.randn(1, 3, 33, 47, dtype=torch.float64)
    with torch.inference_mode():
        changed = rewritten(dilated, applicable(dilated.architecture))
        for found, wanted in zip(changed(x), dilated(x), strict=True):
            assert float((found - wanted).abs().max() / wanted.abs().max()) < 1e-10


@pytest.mark.parametrize("output_stride", [2, 64, 0, True, "8"])
def test_bad_output_strides(output_stride):
    with pytest.raises(ResnexusError, match="expected one of 4, 8, 16, 32, where ResNet50_vd's stages end"):
        FeatureNetwork(architecture("ResNet50_vd"), output_stride=output_stride)
