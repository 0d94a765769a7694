"""Logits and class activation maps of one network."""

import pytest
import torch

from resnexus.artefacts.web.maps import Mapped
from resnexus.errors import ResnexusError


@torch.inference_mode()
def test_the_logits_are_the_networks_and_the_maps_add_up_to_them(smallest):
    images = torch.randn(3, 3, 32, 48)
    logits, maps = Mapped(smallest)(images)
    torch.testing.assert_close(logits, smallest(images), rtol=1e-5, atol=1e-5)
    features = smallest.forward_features(images)
    assert maps.shape == (3, smallest.num_classes, *features.shape[2:])
    for place in ((0, 0), (1, 2)):
        said = features[:, :, place[0], place[1]] @ smallest.head.weight.T
        torch.testing.assert_close(maps[:, :, place[0], place[1]], said, rtol=1e-5, atol=1e-5)


def test_a_map_is_grad_cam_up_to_scale(smallest):
    """With the gradients of one logit as weights, as Grad-CAM has them."""
    images = torch.randn(1, 3, 32, 32)
    features = smallest.forward_features(images).detach().requires_grad_()
    (gradients,) = torch.autograd.grad(smallest.forward_head(features)[0, 4], features)
    grad_cam = (features * gradients.mean((2, 3), keepdim=True)).sum(1)
    with torch.inference_mode():
        map_ = Mapped(smallest)(images)[1][:, 4]
    places = features.shape[2] * features.shape[3]
    torch.testing.assert_close(grad_cam.detach() * places, map_, rtol=1e-4, atol=1e-5)


def test_a_network_without_classes_has_no_maps(random_network, smallest):
    headless = random_network(smallest.architecture, dtype=torch.float32, num_classes=0)
    with pytest.raises(ResnexusError, match=r"smallest has no last layer.*reset_classifier"):
        Mapped(headless)
