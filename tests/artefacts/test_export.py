"""What is exported, what is refused, and that nothing is left of what answers otherwise."""

import pytest
import torch

from resnexus import ResnexusError, create_model, export, open_artefact
from resnexus.artefacts.formats import checkpoint
from resnexus.artefacts.formats.registry import FORMATS, find_format
from resnexus.weights.checkpoint_file import CheckpointRecord
from tests.artefacts.conftest import CLASSES, PREPROCESS


@pytest.mark.parametrize(
    ("out", "options", "message"),
    [
        ("a.onnx", {"format": "onxx"}, "unknown format 'onxx': did you mean 'onnx'"),
        ("a.bin", {"format": "onnx"}, r"a\.bin: the format onnx is a file \*\.onnx"),
        ("a.xml", {"format": "openvino", "opset": 20}, "opset=20 has no effect on the format openvino"),
        ("a", {"format": "safetensors", "preprocess": "al"}, "preprocess='al' has no effect on the format safetensors"),
        ("a.onnx", {"format": "onnx", "preprocess": "ful"}, "unknown preprocess 'ful': did you mean 'full'"),
        ("a.onnx", {"format": "onnx", "sizes": "any"}, "unknown sizes 'any': accepted are fixed, multiples-of-32"),
        (
            "a.onnx",
            {"format": "onnx", "sizes": "multiples-of-32", "image_size": 40},
            "image_size=40: sizes='multiples-of-32' needs a multiple of 32",
        ),
        (
            "a.onnx",
            {"format": "onnx", "sizes": "multiples-of-32", "preprocess": "full"},
            "sizes='multiples-of-32' has no effect with preprocess='full'",
        ),
        (
            "a",
            {"format": "safetensors", "weights": "ssld"},
            "weights=ssld has no effect on a network that is in memory",
        ),
    ],
)
def test_what_does_not_go_together(network, tmp_path, out, options, message):
    with pytest.raises(ResnexusError, match=message):
        export(network, tmp_path / out, **options)
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_told_before_the_work(network, tmp_path, monkeypatch):
    monkeypatch.setattr("resnexus.artefacts.export.Deployed", lambda *_: pytest.fail("begun"))
    (tmp_path / "file").write_text("kept")
    (tmp_path / "a.pt2").mkdir()
    for out, message in (("file/a.pt2", "cannot write .*file: .*file is no folder"), ("a.pt2", "a.pt2 is a folder")):
        with pytest.raises(ResnexusError, match=message):
            export(network, tmp_path / out, format="pt2")


def test_every_format_has_its_name():
    assert [find_format(name).name for name in FORMATS] == list(FORMATS)


def test_networks_that_cannot_be_exported(network, tmp_path):
    headless = create_model(network.architecture, num_classes=0)
    with pytest.raises(ResnexusError, match="cannot export small: the network has no last layer"):
        export(headless, tmp_path / "a", format="safetensors")
    grey = create_model(network.architecture, in_chans=1)
    with pytest.raises(ResnexusError, match="small takes images of 1 channels, and the preprocessing gives 3"):
        export(grey, tmp_path / "a", format="safetensors")


def test_random_weights_are_said(tmp_path, recorded):
    record = export(
        "ResNet_small", tmp_path / "a", format="safetensors", weights="random", image_size=32, progress=recorded
    )
    assert record.weights == "random"
    assert (record.weights_sha256, record.trained) == (None, None)
    assert record.notes == (
        "The weights are random: what it answers means nothing.",
        "The weights say nothing of preprocessing: that of the published series was taken.",
    )
    assert recorded.said[:2] == list(record.notes)
    assert (record.preprocess.size, record.preprocess.resize_short) == (32, 37)
    assert open_artefact(tmp_path / "a").record == record


def test_another_network_is_written_in_float32_and_left_as_it_is(tiny, tmp_path):
    double = create_model(tiny.architecture, num_classes=7).double()
    double.record = CheckpointRecord(preprocess=PREPROCESS)
    export(double, tmp_path / "a", format="safetensors")
    assert double.training
    assert next(double.parameters()).dtype == torch.float64


class Wrong(type(checkpoint.FORMAT)):
    """Writes another network than it was given."""

    def build(self, deployed, record):
        network, record = super().build(deployed, record)
        with torch.no_grad():
            network.head.bias[0] += 1
        return network, record


def test_what_answers_otherwise_is_not_kept(network, tmp_path, monkeypatch):
    folder = tmp_path / "own"
    export(network, folder, format="safetensors")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr(checkpoint, "FORMAT", Wrong())
    message = r"small as safetensors answers otherwise than the network: the scores of 8 pictures differ by up to"
    with pytest.raises(ResnexusError, match=message):
        export(network, folder, format="safetensors")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    with pytest.raises(ResnexusError, match=message):
        export(network, tmp_path / "other", format="safetensors")
    assert not [path for path in (tmp_path / "other").rglob("*") if path.is_file()]


def test_the_record_of_a_file(weights, tmp_path):
    record = export(weights, tmp_path / "a", format="safetensors")
    assert record.weights == "own.safetensors"
    assert len(record.weights_sha256) == 64
    assert record.classes == CLASSES
    assert record.trained.tag == "own"
