"""`pretrained=`: the published function in one line, and what becomes of its head and its first convolution."""

import logging
import pickle
from dataclasses import replace

import pytest
import torch

from resnexus import ResnexusError, architecture, create_model
from resnexus.architectures.siblings import SIBLINGS
from resnexus.data.preprocess import Preprocess
from resnexus.parity.agreement import FLOAT32_TOLERANCE, agreement
from resnexus.parity.golden import golden, golden_images, golden_weights
from resnexus.weights import to_paddle
from resnexus.weights.checkpoint_file import CheckpointRecord, write_checkpoint
from resnexus.weights.mapping import to_timm
from resnexus.weights.pretrained import fold_channels, trained

NAME = "SE_ResNet18_vd"
ROW = SIBLINGS["SE_ResNeXt_small"]


@pytest.fixture(scope="module")
def mirror(tmp_path_factory):
    """A folder with the golden weights in the place of the published ones, written as Paddle writes."""
    folder = tmp_path_factory.mktemp("mirror")
    shapes = {name: array.shape for name, array in to_paddle(NAME, create_model(NAME).state_dict()).items()}
    (folder / "dygraph").mkdir()
    (folder / "dygraph" / f"{NAME}_pretrained.pdparams").write_bytes(pickle.dumps(golden_weights(shapes), 4))
    return folder


@pytest.fixture(scope="module", autouse=True)
def _store(mirror, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESNEXUS_MIRROR", mirror.as_uri())
        patch.setenv("RESNEXUS_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture
def messages(caplog):
    caplog.set_level(logging.INFO, "resnexus")
    return caplog


@pytest.fixture
def file(tmp_path):
    """Trained weights of a small network with 7 classes."""
    write_checkpoint(create_model(ROW, num_classes=7).state_dict(), tmp_path / "own.safetensors", CheckpointRecord())
    return tmp_path / "own.safetensors"


@torch.inference_mode()
def outputs(network, images):
    training = network.training
    result = network.eval()(images)
    network.train(training)
    return result


def test_one_line_gives_the_published_function(messages):
    random = torch.get_rng_state()
    network = create_model(NAME.lower(), pretrained=True)
    assert torch.equal(torch.get_rng_state(), random)  # nothing was drawn only to be overwritten
    assert messages.messages == []
    assert network.training
    for tensor in (*network.parameters(), *network.buffers()):
        assert tensor.device.type == "cpu"
        assert tensor.data_ptr() % 16 == 0
    assert all(parameter.requires_grad for parameter in network.parameters())
    logits = outputs(network, torch.from_numpy(golden_images((97, 131))))
    assert agreement(torch.from_numpy(golden(NAME, (97, 131)).logits), logits).within(FLOAT32_TOLERANCE)


def test_the_weights_follow_the_default_dtype():
    torch.set_default_dtype(torch.float64)
    try:
        assert {parameter.dtype for parameter in create_model(NAME, pretrained=True).parameters()} == {torch.float64}
    finally:
        torch.set_default_dtype(torch.float32)


def test_tags():
    assert trained(architecture(NAME), "imagenet").origin == trained(architecture(NAME), True).origin
    with pytest.raises(ResnexusError, match=f"unknown tag of {NAME} 'ssld': accepted are imagenet"):
        create_model(NAME, pretrained="ssld")
    with pytest.raises(ResnexusError, match="unknown tag of Res2Net50_vd_26w_4s 'sld': did you mean 'ssld'"):
        create_model("Res2Net50_vd_26w_4s", pretrained="sld")
    with pytest.raises(ResnexusError, match="ResNet50_vd is a baseline without published weights"):
        create_model("ResNet50_vd", pretrained=True)
    with pytest.raises(ResnexusError, match="SE_ResNeXt_small has no published weights"):
        create_model(ROW, pretrained=True)


def test_published_weights_fit_the_published_network_only():
    with pytest.raises(
        ResnexusError, match=r"stem='small': the weights 'imagenet' are those of the published SE_ResNet"
    ):
        create_model(NAME, pretrained=True, stem="small")
    with pytest.raises(ResnexusError, match="cascade='authors': the weights 'ssld' are those of the published Res2Net"):
        create_model("Res2Net50_vd_26w_4s", pretrained="ssld", cascade="authors")
    with pytest.raises(ResnexusError, match=r"depths=\(1, 1, 1, 1\)"):
        create_model(replace(architecture(NAME), depths=(1, 1, 1, 1)), pretrained="imagenet")
    create_model(NAME, pretrained=True, stem="deep")  # as it is


@pytest.mark.parametrize("name", SIBLINGS)
def test_a_sibling_is_created_by_name_from_what_compare_learned(name, tmp_path):
    learned = create_model(name.upper(), num_classes=10, in_chans=1)
    assert learned.architecture is SIBLINGS[name]
    path = tmp_path / f"{name}-seed0.safetensors"
    write_checkpoint(learned.state_dict(), path, CheckpointRecord(architecture=SIBLINGS[name]))
    loaded = create_model(name, path)
    assert (loaded.num_classes, loaded.in_chans) == (10, 1)
    assert all(torch.equal(value, loaded.state_dict()[key]) for key, value in learned.state_dict().items())
    with pytest.raises(ResnexusError, match=f"{name} has no published weights"):
        create_model(name, pretrained=True)


def test_arguments_are_told_before_anything_is_fetched(monkeypatch):
    monkeypatch.setenv("RESNEXUS_MIRROR", "file:///nowhere")
    for arguments, message in (
        ({"in_chans": 0}, "in_chans=0"),
        ({"num_classes": -1}, "num_classes=-1"),
        ({"features_only": True, "out_indices": (7,)}, "out_indices"),
        ({"features_only": True, "num_classes": 5}, "num_classes=5 has no effect with features_only"),
        ({"out_indices": (1,)}, "has no effect without features_only"),
    ):
        with pytest.raises(ResnexusError, match=message):
            create_model("SENet154_vd", pretrained=True, **arguments)


def test_a_head_is_replaced_when_asked_for_and_said(messages):
    whole = create_model(NAME, pretrained=True)
    network = create_model(NAME, pretrained=True, num_classes=10)
    assert messages.messages == [f"{NAME}: head of 1000 classes replaced by a fresh one of 10"]
    assert messages.records[0].levelno == logging.WARNING
    assert (whole.record.classes[0], network.record.classes, network.record.metrics) == ("tench", None, None)
    assert network.record.preprocess == whole.record.preprocess == Preprocess()
    assert network.head.weight.shape == (10, 512)
    assert network.num_classes == 10
    assert network.head.weight.std() > 0
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(
        network.eval().forward_head(network.forward_features(images), pre_logits=True),
        whole.eval().forward_head(whole.forward_features(images), pre_logits=True),
    )
    assert torch.equal(create_model(NAME, pretrained=True, num_classes=1000).head.weight, whole.head.weight)
    assert isinstance(create_model(NAME, pretrained=True, num_classes=0).head, torch.nn.Identity)
    assert len(messages.messages) == 2


def test_the_classes_of_a_file_are_kept_unless_others_are_asked_for(file, messages):
    assert create_model(ROW, pretrained=file).num_classes == 7
    assert create_model(ROW, pretrained=str(file), num_classes=7).num_classes == 7
    assert messages.messages == []
    assert create_model(ROW, pretrained=file, num_classes=1000).num_classes == 1000
    assert messages.messages == ["SE_ResNeXt_small: head of 7 classes replaced by a fresh one of 1000"]


def test_a_network_knows_what_its_weights_are(tmp_path):
    record = CheckpointRecord(architecture=ROW, classes=("a", "b"), preprocess=Preprocess(), recipe={"epochs": 1})
    state = create_model(ROW, num_classes=2).state_dict()
    write_checkpoint(state, tmp_path / "a.safetensors", record)
    assert create_model(ROW, pretrained=tmp_path / "a.safetensors").record == record
    assert create_model(ROW, pretrained=tmp_path / "a.safetensors", features_only=True).record == record
    assert trained(ROW, tmp_path / "a.safetensors").record == record
    grey = create_model(ROW, pretrained=tmp_path / "a.safetensors", in_chans=1)
    assert grey.record == replace(record, preprocess=None)
    torch.save(state, tmp_path / "a.pth")
    expected = CheckpointRecord(architecture=ROW, source="a.pth", version=None)
    assert create_model(ROW, pretrained=tmp_path / "a.pth").record == expected
    assert create_model(ROW).record is create_model(ROW, features_only=True).record is None


def test_a_head_that_contradicts_itself_is_an_error(tmp_path):
    arrays = to_paddle(ROW, create_model(ROW).state_dict())
    arrays["out.bias"] = arrays["out.bias"][:10]
    (tmp_path / "torn.pdparams").write_bytes(pickle.dumps(arrays, 2))
    with pytest.raises(ResnexusError, match=r"- out.weight \(256, 10\)\n\+ out.weight \(256, 1000\)"):
        create_model(ROW, pretrained=tmp_path / "torn.pdparams")
    with pytest.raises(ResnexusError, match=r"- out.weight \(256, 10\)"):
        create_model(ROW, pretrained=tmp_path / "torn.pdparams", num_classes=3)


def test_a_network_without_head_is_kept_without(tmp_path):
    path = tmp_path / "body.safetensors"
    write_checkpoint(create_model(ROW, num_classes=0).state_dict(), path, CheckpointRecord())
    assert create_model(ROW, pretrained=path).num_classes == 0
    assert create_model(ROW, pretrained=path, num_classes=4).head.weight.shape == (4, 256)


def test_a_grey_image_gives_what_it_gave_in_colour(messages):
    colour, grey = create_model(NAME, pretrained=True), create_model(NAME, pretrained=True, in_chans=1)
    assert messages.messages == [f"{NAME}: the first convolution is fitted from 3 to 1 channels"]
    image = torch.randn(2, 1, 64, 64)
    assert agreement(outputs(colour, image.expand(-1, 3, -1, -1)), outputs(grey, image)).within(1e-5)


@pytest.mark.parametrize("in_chans", [1, 2, 4, 6, 13])
def test_the_first_convolution_is_folded_as_timm_does(in_chans):
    manipulate = pytest.importorskip("timm.models._manipulate", reason="timm is the reference for the rule")
    weight = torch.randn(8, 3, 7, 7)
    assert torch.allclose(fold_channels(weight, in_chans), manipulate.adapt_input_conv(in_chans, weight))
    if in_chans == 6:
        image = torch.randn(1, 3, 9, 9)
        folded = torch.conv2d(image.repeat(1, 2, 1, 1), fold_channels(weight, 6))
        assert torch.allclose(folded, torch.conv2d(image, weight), atol=1e-4)


def test_only_weights_for_colour_are_folded(tmp_path):
    path = tmp_path / "five.safetensors"
    write_checkpoint(create_model(ROW, in_chans=5).state_dict(), path, CheckpointRecord())
    assert create_model(ROW, pretrained=path, in_chans=5).in_chans == 5
    assert create_model(ROW, pretrained=path).in_chans == 5
    with pytest.raises(ResnexusError, match="in_chans=3: the weights are for 5 image channels, and only those for 3"):
        create_model(ROW, pretrained=path, in_chans=3)


def test_feature_maps_of_trained_weights(messages):
    network = create_model(NAME, pretrained=True).eval()
    features = create_model(NAME, pretrained=True, features_only=True, out_indices=(2, 3))
    assert messages.messages == [f"{NAME}: head, stages.3 of {NAME}:imagenet are not needed"]
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        expected = list(network.stage_features(images).values())[1:3]
    for found, wanted in zip(outputs(features, images), expected, strict=True):
        assert torch.equal(found, wanted)


@pytest.mark.parametrize("suffix", [".safetensors", ".pdparams", ".pth"])
def test_files_of_any_kind(suffix, tmp_path):
    network, path = create_model(ROW, num_classes=3), tmp_path / f"own{suffix}"
    state = network.state_dict()
    if suffix == ".safetensors":
        write_checkpoint(state, path, CheckpointRecord(architecture=ROW))
    elif suffix == ".pth":
        torch.save(state, path)
    else:
        path.write_bytes(pickle.dumps(to_paddle(ROW, state), 2))
    loaded = create_model(ROW, pretrained=path)
    for name, tensor in state.items():
        assert torch.equal(loaded.state_dict()[name], tensor), name


def test_a_file_must_fit_the_network(file, tmp_path):
    with pytest.raises(
        ResnexusError, match=r"own.safetensors: the weights are those of SE_ResNeXt_small, not of SE_Res"
    ):
        create_model(SIBLINGS["SE_ResNet_small"], pretrained=file)
    row = SIBLINGS["Res2Net_small"]
    write_checkpoint(create_model(row).state_dict(), tmp_path / "a.safetensors", CheckpointRecord(architecture=row))
    create_model(row, pretrained=tmp_path / "a.safetensors")
    with pytest.raises(ResnexusError, match="written for a network with cascade='paddle', not for this Res2Net_small"):
        create_model(row, pretrained=tmp_path / "a.safetensors", cascade="authors")
    authors = replace(row, cascade="authors")
    torch.save(to_timm(authors, create_model(authors).state_dict()), tmp_path / "theirs.pth")
    with pytest.raises(ResnexusError, match="computes another function than timm's Res2Net"):
        create_model(row, pretrained=tmp_path / "theirs.pth")
    create_model(row, pretrained=tmp_path / "theirs.pth", cascade="authors")
    with pytest.raises(ResnexusError, match=r"cannot read .*nothing.pth: No such file"):
        create_model(row, pretrained="nothing.pth")


def test_a_network_whose_last_layer_is_replaced_forgets_what_the_old_one_knew(tmp_path):
    known = {"architecture": ROW, "preprocess": Preprocess(), "licence": "MIT"}
    record = CheckpointRecord(**known, classes=("a", "b"), metrics={"top1": 0.5})
    write_checkpoint(create_model(ROW, num_classes=2).state_dict(), tmp_path / "a.safetensors", record)
    network = create_model(ROW, pretrained=tmp_path / "a.safetensors")
    network.reset_classifier(2)
    assert network.record == CheckpointRecord(**known)
    network.reset_classifier(0)
    assert network.record == CheckpointRecord(**known)
