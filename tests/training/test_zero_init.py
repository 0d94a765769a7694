import pytest
import torch
from torch import nn

from resnexus import Architecture, ResnexusError, create_model
from resnexus.training.zero_init import zero_init_residual

_SHAPE = {"depths": (1, 2), "out_width": 16, "stem": "small", "stem_width": 8}
ROWS = (
    Architecture(name="basic", block="basic", width=16, **_SHAPE),
    Architecture(name="gated", block="bottleneck", width=4, se_reduction=4, **_SHAPE),
    Architecture(name="res2", block="res2", width=3, scale=4, **_SHAPE),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_block_begins_as_its_shortcut(row):
    network, x = create_model(row, num_classes=3), torch.randn(2, 3, 9, 8)
    plain = network.eval()(x)
    zero_init_residual(network)
    assert not torch.equal(network(x), plain)
    x = network.stem(x)
    for stage in network.stages:
        for block in stage:
            expected = block.shortcut(x).relu()
            assert torch.equal(block(x), expected)
            x = expected
    scales = [module.weight for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert sum(not scale.any() for scale in scales) == 3


def test_a_network_without_blocks_is_told():
    with pytest.raises(ResnexusError, match=r"zero_init_residual=True: a Linear has no blocks with a branch"):
        zero_init_residual(nn.Linear(2, 2))
