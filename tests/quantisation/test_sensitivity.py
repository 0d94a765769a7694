import pytest
import torch
from torch import nn

from resnexus.progress import Silent
from resnexus.quantisation.layers import layers_of
from resnexus.quantisation.sensitivity import rounded_weights, sensitivities
from resnexus.rewrites.table import free, rewritten


@pytest.fixture
def folded(smallest):
    return rewritten(smallest, free(smallest.architecture))


@pytest.fixture
def images():
    return torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(4))


def test_weights_are_rounded_to_127_steps_of_their_channel():
    weight = torch.tensor([[[[127.0, -126.4, 0.6]]], [[[0.0, 0.0, 0.0]]], [[[1e-3, -1.27, 0.0]]]])
    expected = torch.tensor([[[[127.0, -126.0, 1.0]]], [[[0.0, 0.0, 0.0]]], [[[0.0, -1.27, 0.0]]]])
    assert torch.allclose(rounded_weights(weight), expected, atol=1e-6)


def test_the_change_is_that_of_a_layer_that_is_rounded_by_hand(folded, images):
    name = next(layer.name for layer in layers_of(folded))
    found = sensitivities(folded, [name], images, Silent())[name]
    conv = folded.get_submodule(name)
    with torch.inference_mode():
        plain = folded(images)
        kept = conv.weight.data
        conv.weight.data = torch.stack(
            [(row / (step := row.abs().max() / 127)).round().clamp(-127, 127) * step for row in kept]
        )
        step = images.abs().max() / 127
        rounded = folded((images / step).round().clamp(-127, 127) * step)
        conv.weight.data = kept
    assert found == pytest.approx(float((rounded - plain).square().mean() / plain.square().mean()), rel=1e-3)
    assert found > 0


def test_a_layer_with_one_far_too_large_input_is_the_most_sensitive_and_nothing_is_changed(folded, images):
    names = [layer.name for layer in layers_of(folded)]
    middle = names[1]
    before = {key: value.clone() for key, value in folded.state_dict().items()}
    plain = sensitivities(folded, names, images, Silent())
    for key, value in folded.state_dict().items():
        assert torch.equal(value, before[key])
    assert all(not module._forward_pre_hooks for module in folded.modules())
    spoilt = folded.get_submodule(middle)
    assert isinstance(spoilt, nn.Conv2d)
    spoilt.weight.data = spoilt.weight.data.clone()
    spoilt.weight.data[:, 0] *= 300.0  # the step of every channel is now far too wide for the others
    found = sensitivities(folded, names, images, Silent())
    assert found[middle] > 3 * plain[middle]


def test_progress_is_told(folded, images, recorded):
    names = [layer.name for layer in layers_of(folded)]
    sensitivities(folded, names, images, recorded)
    ((_, total, steps),) = recorded.stages
    assert (total, sum(steps)) == (len(names), len(names))
