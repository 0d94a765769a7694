from __future__ import annotations

import pytest
import torch
from torch import nn

from resnexus.architectures.spec import Architecture
from resnexus.errors import ResnexusError
from resnexus.rewrites.folding import fold_batch_norm
from resnexus.rewrites.pooling import PooledProjection, pool_into_projection

ROW = Architecture(
    name="tiny", block="bottleneck", depths=(1, 2, 1), width=4, groups=2, out_width=16, stem="deep", shortcut="pool"
)


def test_every_pool_is_gone_and_the_shortcut_of_stage_0_stays(random_network):
    rewritten = pool_into_projection(random_network(ROW))
    assert not any(isinstance(module, nn.AvgPool2d) for module in rewritten.modules())
    shortcuts = [stage[0].shortcut for stage in rewritten.stages]
    assert [isinstance(shortcut, PooledProjection) for shortcut in shortcuts] == [False, True, True]
    assert shortcuts[1].conv.kernel_size == shortcuts[1].conv.stride == (2, 2)


@pytest.mark.parametrize("size", [(6, 8), (7, 8), (6, 7), (7, 7), (1, 1), (1, 2)])
def test_even_odd_and_single_pixels(size, random_network):
    network = random_network(ROW)
    plain = fold_batch_norm(network).stages[1][0].shortcut
    joined = pool_into_projection(network).stages[1][0].shortcut
    x = torch.randn(2, 16, *size, dtype=torch.float64)
    torch.testing.assert_close(joined(x), plain(x), rtol=1e-12, atol=1e-12)


def test_rows_without_a_pooled_shortcut_are_refused(random_network):
    with pytest.raises(ResnexusError, match=r"ResNeXt50_32x4d has no average pool .* shortcut='conv'"):
        pool_into_projection(random_network("ResNeXt50_32x4d", stem="small"))
    with pytest.raises(ResnexusError, match=r"tiny has no average pool .* stages=1"):
        pool_into_projection(random_network(ROW, depths=(1,)))
