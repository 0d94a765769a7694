"""timm and torchvision compute the same function as ours from the same weights, and the look-alikes do not."""

from dataclasses import replace

import pytest
import torch

from resnexus import ResnexusError, architecture, create_model
from resnexus.parity.agreement import agreement
from resnexus.weights.detect import detect
from resnexus.weights.mapping import from_timm, to_timm
from resnexus.weights.pretrained import assign

timm = pytest.importorskip("timm", reason="timm is the reference for its own layout: pip install 'resnexus[peers]'")
torchvision = pytest.importorskip("torchvision", reason="torchvision is the reference for its own layout")

TOLERANCE = 1e-5  # float32, the same operations in the same order but for the gates, which are 1x1 convolutions there

EXACT = {
    "resnext50_32x4d": "ResNeXt50_32x4d",
    "resnext50d_32x4d": "ResNeXt50_vd_32x4d",
    "resnext101_32x4d": "ResNeXt101_32x4d",
    "resnext101_64x4d": "ResNeXt101_64x4d",
    "seresnext50_32x4d": "SE_ResNeXt50_32x4d",
    "seresnext101_32x4d": "SE_ResNeXt101_32x4d",
}
LOOK_ALIKES = {
    "res2net50_26w_4s": "Res2Net50_26w_4s",
    "res2net50_14w_8s": "Res2Net50_14w_8s",
    "res2net50d": "Res2Net50_vd_26w_4s",
    "res2net101d": "Res2Net101_vd_26w_4s",
}
COUNTER = "num_batches_tracked"


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the layers are small: threads would wait for one another
    yield
    torch.set_num_threads(threads)


def perturbed(network):
    """Give every normalisation, most of which start as the identity and some as zero, numbers of its own."""
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(layer.weight, 0.5, 0.9)
            torch.nn.init.normal_(layer.bias, std=0.1)
            torch.nn.init.normal_(layer.running_mean, std=0.1)
            torch.nn.init.uniform_(layer.running_var, 0.5, 1.5)
        elif isinstance(layer, torch.nn.Linear):
            torch.nn.init.normal_(layer.bias, std=0.1)
    return network.eval()


def with_weights(row, state):
    with torch.device("meta"):
        network = create_model(row)
    assign(network, state)
    return network.eval()


@torch.inference_mode()
def difference(theirs, ours):
    images = torch.randn(2, 3, 64, 95)
    return agreement(theirs(images), ours(images)).max_rel


def assert_same_function(theirs, row):
    state = theirs.state_dict()
    found = detect(state)
    assert (found.architecture, found.layout, found.num_classes, found.in_chans) == (row, "timm", 1000, 3)
    ours = with_weights(row, from_timm(row, state))
    assert difference(theirs, ours) <= TOLERANCE
    back = to_timm(row, ours.state_dict())
    assert back.keys() == {name for name in state if not name.endswith(COUNTER)}
    assert all(torch.equal(back[name], state[name]) for name in back)
    theirs.load_state_dict(back)  # strictly
    return ours


@pytest.mark.parametrize("name", EXACT)
def test_timm_exact(name):
    assert_same_function(perturbed(timm.create_model(name)), architecture(EXACT[name]))


@pytest.mark.parametrize("name", ["resnext50_32x4d", "resnext101_64x4d"])
def test_torchvision_exact(name):
    assert_same_function(perturbed(torchvision.models.get_model(name)), architecture(EXACT[name]))


@pytest.mark.parametrize("name", LOOK_ALIKES)
def test_timm_res2net_is_the_authors_variant_and_not_the_published_one(name):
    published = architecture(LOOK_ALIKES[name])
    theirs = perturbed(timm.create_model(name))
    ours = assert_same_function(theirs, replace(published, cascade="authors"))
    for refused in (from_timm, to_timm):
        with pytest.raises(ResnexusError, match=f"{published.name} computes another function than timm's Res2Net"):
            refused(published, theirs.state_dict() if refused is from_timm else ours.state_dict())
    assert difference(theirs, with_weights(published, ours.state_dict())) > 1000 * TOLERANCE


def test_a_timm_state_with_other_names_is_listed():
    row = architecture("ResNeXt50_32x4d")
    state = to_timm(row, create_model(row).state_dict())
    state["last_linear.weight"] = state.pop("fc.weight")
    with pytest.raises(ResnexusError, match=r"1 missing \(-\) and 1 left over \(\+\)\n- fc.weight\n\+ last_linear"):
        from_timm(row, state)
