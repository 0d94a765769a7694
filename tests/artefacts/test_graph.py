"""What is before and behind the network in an artefact."""

import numpy as np
import pytest
import torch

from resnexus.architectures.activation import class_activation
from resnexus.artefacts.graph import Deployed, example
from resnexus.artefacts.photographs import photographs
from resnexus.artefacts.record import Interface
from tests.artefacts.conftest import PREPROCESS


def deployed(network, **values):
    return Deployed(network, PREPROCESS, Interface(image_size=PREPROCESS.size, **values))


def test_the_heat_map_explains_the_logit(network, images):
    logits, maps = deployed(network, heatmap=True)(images)
    assert torch.equal(logits, network(images))
    top = logits.max(1)
    expected = top.values - network.head.bias[top.indices]
    assert torch.allclose(maps.mean((1, 2)), expected, rtol=1e-4, atol=1e-5)


def test_the_heat_map_is_grad_cam_up_to_scale(network, images):
    """Selvaraju et al. 2017: channels weighted by the mean gradient of the class's logit."""
    features = network.forward_features(images).detach().requires_grad_()
    logits = network.forward_head(features)
    (gradient,) = torch.autograd.grad(logits.max(1).values.sum(), features)
    grad_cam = (gradient.mean((2, 3), keepdim=True) * features).sum(1)
    places = features.shape[2] * features.shape[3]
    found = class_activation(features, logits, network.head.weight)
    assert torch.allclose(found, grad_cam * places, rtol=1e-4, atol=1e-6)


def test_probabilities(network, images):
    logits = network(images)
    pixels = torch.from_numpy(np.stack([PREPROCESS.frame(picture) for picture in photographs()]))
    assert torch.allclose(deployed(network, included="normalise")(pixels)[0], logits.softmax(1), atol=1e-6)
    many = deployed(network, included="normalise", multi_label=True)(pixels)[0]
    assert torch.allclose(many, logits.sigmoid(), atol=1e-6)
    for picture, expected in zip(photographs(), logits.softmax(1), strict=True):
        (found,) = deployed(network, included="full")(torch.from_numpy(picture))
        assert torch.allclose(found[0], expected, atol=1e-6)


@pytest.mark.parametrize("included", ["none", "normalise", "full"])
@pytest.mark.parametrize("sizes", ["fixed", "multiples-of-32"])
def test_the_example_fits_the_interface(included, sizes):
    if included == "full" and sizes != "fixed":
        return
    interface = Interface(included=included, sizes=sizes, image_size=64, in_chans=1)
    given = example(interface)
    assert str(given.dtype) == f"torch.{interface.dtype}"
    for length, axis in zip(given.shape, interface.axes, strict=True):
        assert length == axis or (isinstance(axis, str) and length > 1 and ("multiple" not in axis or length % 32 == 0))
