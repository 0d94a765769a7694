"""timm and torchvision compute the same function as ours from the same weights, and the look-alikes do not."""

import re
from dataclasses import replace

import pytest
import torch

from resnexus import ResnexusError, architecture, create_model
from resnexus.architectures.siblings import SIBLINGS
from resnexus.parity.agreement import agreement
from resnexus.weights import from_paddle, to_paddle
from resnexus.weights.detect import detect
from resnexus.weights.layouts import LAYOUTS
from resnexus.weights.mapping import from_layout, from_timm, stored_shapes, to_layout, to_timm
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


def _deep_is_slow(names, stay):
    """The names of networks as parameters: slow if of more than a hundred layers, else thorough unless they stay."""
    marks = {name: [] if name in stay else [pytest.mark.thorough] for name in names}
    return [pytest.param(name, marks=[pytest.mark.slow] if "101" in name else marks[name]) for name in names]


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


@pytest.mark.parametrize("name", _deep_is_slow(EXACT, ["resnext50_32x4d", "seresnext50_32x4d"]))
def test_timm_exact(name):
    assert_same_function(perturbed(timm.create_model(name)), architecture(EXACT[name]))


@pytest.mark.parametrize("name", _deep_is_slow(["resnext50_32x4d", "resnext101_64x4d"], ["resnext50_32x4d"]))
def test_torchvision_exact(name):
    assert_same_function(perturbed(torchvision.models.get_model(name)), architecture(EXACT[name]))


@pytest.mark.parametrize("name", _deep_is_slow(LOOK_ALIKES, ["res2net50_26w_4s"]))
def test_timm_res2net_is_the_authors_variant_and_not_the_published_one(name):
    published = architecture(LOOK_ALIKES[name])
    theirs = perturbed(timm.create_model(name))
    ours = assert_same_function(theirs, replace(published, cascade="authors"))
    for refused in (from_timm, to_timm):
        with pytest.raises(ResnexusError, match=f"{published.name} computes another function than timm's Res2Net"):
            refused(published, theirs.state_dict() if refused is from_timm else ours.state_dict())
    assert difference(theirs, with_weights(published, ours.state_dict())) > 1000 * TOLERANCE


# The names of timm's legacy networks, and those of its others.
CAFFE = (
    (r"layer0\.(conv|bn)1", r"\g<1>1"),
    (r"se_module\.", "se."),
    (r"last_linear", "fc"),
)


def test_timm_legacy_networks_are_another_function_by_their_max_pool_alone():
    theirs = perturbed(timm.create_model("legacy_seresnext50_32x4d"))
    with pytest.raises(ResnexusError, match=r"timm's legacy_\* SENets.*their max pool begins inside the image"):
        detect(theirs.state_dict())
    renamed = theirs.state_dict()
    for pattern, replacement in CAFFE:
        renamed = {re.sub(pattern, replacement, key): tensor for key, tensor in renamed.items()}
    row = architecture("SE_ResNeXt50_32x4d")
    ours = with_weights(row, from_timm(row, renamed))
    assert difference(theirs, ours) > 100 * TOLERANCE
    ours.stem[1] = torch.nn.MaxPool2d(3, stride=2, ceil_mode=True)
    assert difference(theirs, ours) <= TOLERANCE


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=lambda layout: layout.name)
@pytest.mark.parametrize("num_classes", [0, 5])
def test_every_layout_is_told_from_the_others_and_loses_nothing(layout, num_classes):
    for row in (
        SIBLINGS["SE_ResNeXt_small"],
        SIBLINGS["Res2Net_small"],
        replace(SIBLINGS["Res2Net_small"], cascade="authors"),
    ):
        state = create_model(row, num_classes=num_classes, in_chans=2).state_dict()
        for name in state:
            if name.endswith(COUNTER):
                state[name].fill_(7)
        entries = to_layout(layout, row, state)
        shapes = stored_shapes(layout, row, num_classes, in_chans=2)
        assert {name: tuple(tensor.shape) for name, tensor in entries.items() if not name.endswith(COUNTER)} == shapes
        if layout.refusal(row):
            with pytest.raises(ResnexusError, match=f"{row.name}.* computes another function than"):
                detect(entries, row)
        else:
            found = detect(entries, row)
            assert (found.layout, found.num_classes, found.in_chans) == (layout.name, num_classes, 2)
            assert (row in detect(entries).candidates) == (row in found.candidates) == True  # noqa: E712
        back = from_layout(layout, row, entries)
        assert back.keys() == state.keys()
        for name, tensor in state.items():
            counted = name.endswith(COUNTER) and layout.name != "resnexus"
            assert torch.equal(back[name], torch.tensor(0) if counted else tensor), name


def test_weights_of_the_authors_function_are_not_written_as_paddles():
    row = replace(SIBLINGS["Res2Net_small"], cascade="authors")
    state = create_model(row).state_dict()
    for call in (lambda: to_paddle(row, state), lambda: from_paddle(row, {})):
        with pytest.raises(ResnexusError, match="computes another function than Paddle's Res2Net of the same shapes"):
            call()


def test_a_timm_state_with_other_names_is_listed():
    row = architecture("ResNeXt50_32x4d")
    state = to_timm(row, create_model(row).state_dict())
    state["last_linear.weight"] = state.pop("fc.weight")
    with pytest.raises(ResnexusError, match=r"1 missing \(-\) and 1 left over \(\+\)\n- fc.weight\n\+ last_linear"):
        from_timm(row, state)
