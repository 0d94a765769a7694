from __future__ import annotations

import pytest
import torch
from torch import nn

from resnexus.architectures.spec import Architecture
from resnexus.errors import ResnexusError
from resnexus.rewrites.groups import block_diagonal, pack_groups

ROW = Architecture(name="tiny", block="bottleneck", depths=(1, 1), width=4, groups=6, out_width=32)


def _groups(network) -> list[tuple[int, int]]:
    convs = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    return [(conv.groups, conv.in_channels // conv.groups) for conv in convs if conv.kernel_size == (3, 3)]


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (1, [(6, 4), (6, 8)]),
        (8, [(3, 8), (6, 8)]),
        (16, [(2, 12), (3, 16)]),  # packs of 4 groups do not divide 6, packs of 3 do
        (24, [(1, 24), (2, 24)]),
        (10**6, [(1, 24), (1, 48)]),
    ],
)
def test_packs_are_as_wide_as_asked_and_as_the_groups_divide(width, expected, random_network):
    assert _groups(pack_groups(random_network(ROW), width)) == expected


def test_packing_adds_only_zeros(random_network):
    network = random_network(ROW, dtype=torch.float32)
    images = torch.randn(2, 3, 32, 32)
    plain, packed = pack_groups(network, 1), pack_groups(network, 48)
    with torch.inference_mode():
        torch.testing.assert_close(packed(images), plain(images), rtol=1e-5, atol=1e-6)
    extra = sum(p.numel() for p in packed.parameters()) - sum(p.numel() for p in plain.parameters())
    assert extra == 9 * (24 * (24 - 4) + 48 * (48 - 8))
    assert sum(int(p.count_nonzero()) for p in packed.parameters()) == sum(
        int(p.count_nonzero()) for p in plain.parameters()
    )


def test_block_diagonal_by_hand():
    a, b = torch.full((2, 1, 1, 1), 3.0), torch.full((2, 1, 1, 1), 5.0)
    assert block_diagonal((a, b))[:, :, 0, 0].tolist() == [[3, 0], [3, 0], [0, 5], [0, 5]]


def test_refusals(random_network):
    with pytest.raises(ResnexusError, match=r"width=0: expected the channels of a pack"):
        pack_groups(random_network(ROW), 0)
    with pytest.raises(ResnexusError, match=r"ResNet50_vd has no grouped convolution to pack: groups=1"):
        pack_groups(random_network("ResNet50_vd", stem="small", depths=(1,)), 16)
