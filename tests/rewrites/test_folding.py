from __future__ import annotations

import pytest
import torch
from torch import nn

from resnexus.architectures.blocks import ConvNorm
from resnexus.errors import ResnexusError
from resnexus.rewrites.folding import BiasedConv, biased, cast, fold_batch_norm, frozen


def test_folding_by_hand(random_network):
    network = random_network("SE_ResNet18_vd", stem="small", depths=(1,))
    conv, norm = network.stem[0].conv, network.stem[0].norm
    norm.running_mean[0], norm.running_var[0] = 3.0, 4.0 - norm.eps
    norm.weight.data[0], norm.bias.data[0] = 10.0, 1.0
    folded = fold_batch_norm(network).stem[0]
    torch.testing.assert_close(folded.conv.weight[0], conv.weight[0] * 5, rtol=1e-14, atol=0)
    torch.testing.assert_close(
        folded.conv.bias[0], torch.tensor(1.0 - 3.0 * 5, dtype=torch.float64), rtol=1e-14, atol=0
    )
    assert folded.relu


def test_nothing_is_left_of_the_normalisations_and_nothing_is_trained(random_network):
    network = random_network("SE_ResNet18_vd", depths=(2, 1)).train()
    network.set_grad_checkpointing()
    folded = fold_batch_norm(network)
    assert not any(isinstance(module, (nn.BatchNorm2d, ConvNorm)) for module in folded.modules())
    assert sum(isinstance(module, BiasedConv) for module in folded.modules()) == 3 + 6 + 2
    assert not any(module.training for module in folded.modules())
    assert not any(parameter.requires_grad for parameter in folded.parameters())
    assert not folded.grad_checkpointing
    assert network.grad_checkpointing
    assert network.training


def test_a_normalisation_without_statistics_cannot_be_folded(random_network):
    network = random_network("SE_ResNet18_vd")
    network.stem[0].norm = nn.BatchNorm2d(32, track_running_stats=False)
    with pytest.raises(ResnexusError, match=r"keeps no running statistics"):
        fold_batch_norm(network)


def test_half_precision_weights_are_folded_in_float64(random_network):
    network = random_network("SE_ResNet18_vd", dtype=torch.bfloat16, depths=(1,))
    exact = fold_batch_norm(cast(network, torch.float64))
    for found, expected in zip(fold_batch_norm(network).parameters(), exact.parameters(), strict=True):
        assert torch.equal(found, expected.bfloat16())


def test_casting_refuses_what_does_not_fit():
    assert torch.equal(
        frozen(torch.tensor([1 / 3, float("inf")]), torch.tensor(0.0).half()).isinf(), torch.tensor([False, True])
    )
    with pytest.raises(ResnexusError, match=r"a weight of 7e\+04 does not fit torch.float16"):
        frozen(torch.tensor([7e4], dtype=torch.float64), torch.tensor(0.0).half())


def test_an_unfolded_layer_is_not_taken_for_a_folded_one():
    with pytest.raises(TypeError, match=r"expected a convolution with its normalisation folded, found ConvNorm"):
        biased(ConvNorm(1, 1, 1))
