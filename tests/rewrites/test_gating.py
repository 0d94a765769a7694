from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from resnexus.architectures.spec import Architecture
from resnexus.errors import ResnexusError
from resnexus.rewrites.folding import fold_batch_norm
from resnexus.rewrites.gating import PregatedBlock, gate_before_projection
from resnexus.rewrites.res2 import res2_summed_projection

ROW = Architecture(
    name="tiny", block="bottleneck", depths=(1, 2), width=4, groups=4, out_width=64, se_reduction=4, stem="small"
)


def test_the_gate_is_known_before_the_projection_and_equals_the_plain_one(random_network):
    network = random_network(ROW)
    plain, block = fold_batch_norm(network).stages[1][1], gate_before_projection(network).stages[1][1]
    assert isinstance(block, PregatedBlock)
    assert block.squeeze.weight.shape == (32, 32)  # from 4 x 8 inner channels instead of 128
    x = torch.randn(2, 128, 5, 7, dtype=torch.float64)
    y = plain.branch(x)
    expected = torch.sigmoid(plain.gate.excite(F.relu(plain.gate.squeeze(y.mean((2, 3))))))
    found = torch.sigmoid(block.excite(F.relu(block.squeeze(block.inner(x).mean((2, 3))))))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(block(x), plain(x), rtol=1e-12, atol=1e-12)
    assert found.std() > 1e-3


def test_a_summed_projection_is_gated_too(random_network):
    row = Architecture(name="tiny", block="res2", depths=(1,), width=4, scale=3, out_width=16, se_reduction=2)
    network = random_network(row, stem="small")
    block = gate_before_projection(res2_summed_projection(network)).stages[0][0]
    x = torch.randn(2, 64, 6, 5, dtype=torch.float64)
    assert [part.shape[1] for part in block.inner(x)] == [4, 4, 4]
    torch.testing.assert_close(block(x), network.stages[0][0](x), rtol=1e-11, atol=1e-11)


def test_refusals(random_network):
    with pytest.raises(ResnexusError, match=r"SE_ResNet18_vd: it needs gates behind a 1x1 .* block='basic'"):
        gate_before_projection(random_network("SE_ResNet18_vd"))
    with pytest.raises(ResnexusError, match=r"tiny: .* se_reduction=None"):
        gate_before_projection(random_network(ROW, se_reduction=None))
