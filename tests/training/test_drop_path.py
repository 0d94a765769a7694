import pytest
import torch
from torch import nn

from resnexus import Architecture, ResnexusError, create_model
from resnexus.training.drop_path import DropPath, set_drop_path


def test_whole_images_are_dropped_and_the_mean_stays():
    torch.manual_seed(0)
    layer, images = DropPath(0.25), torch.ones(4000, 2, 3, 3)
    found = layer(images)
    assert found.unique().tolist() == pytest.approx([0, 4 / 3])
    assert (found.amax((1, 2, 3)) == found.amin((1, 2, 3))).all()
    assert found.mean().item() == pytest.approx(1, abs=0.03)
    assert layer.eval()(images) is images
    assert DropPath(0.0)(images) is images


def test_the_probability_grows_with_depth_and_evaluation_is_unchanged():
    row = Architecture(name="t", block="bottleneck", depths=(2, 3), width=4, out_width=8, stem="small", stem_width=8)
    network, images = create_model(row, num_classes=3).eval(), torch.randn(2, 3, 8, 8)
    before = network(images)
    set_drop_path(network, 0.2)
    rates = [module.rate for module in network.modules() if isinstance(module, DropPath)]
    assert rates == pytest.approx([0, 0.05, 0.1, 0.15, 0.2])
    assert torch.equal(network(images), before)
    network.train()
    torch.manual_seed(1)
    first = network(images)
    torch.manual_seed(1)
    assert torch.equal(network(images), first)


def test_a_network_without_blocks_is_told():
    with pytest.raises(ResnexusError, match=r"drop_path=0.1: a Linear has no blocks with a drop_path"):
        set_drop_path(nn.Linear(2, 2), 0.1)
