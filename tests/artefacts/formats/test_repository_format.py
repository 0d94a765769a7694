"""The folders of model servers, here with 8-bit images of several sizes going in."""

import numpy as np
import pytest

from resnexus import ResnexusError, export, open_artefact
from resnexus.artefacts.formats.repository import configuration
from resnexus.artefacts.record import ArtefactRecord, Interface
from tests.artefacts.conftest import CLASSES, PREPROCESS


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def check_answers(folder, network):
    artefact = open_artefact(folder)
    assert artefact.record.format == ("triton" if (folder / "config.pbtxt").exists() else "ovms")
    assert artefact.record.pictures == 16  # eight at two sizes
    pixels = np.random.default_rng(0).integers(0, 256, (2, 96, 32, 3), dtype=np.uint8)
    expected = network(PREPROCESS.normalise(pixels)).softmax(1).detach().numpy()
    assert np.allclose(artefact(pixels), expected, atol=1e-5)
    with pytest.raises(ResnexusError, match=r"images of shape \(2, 96, 33, 3\) and uint8: expected \(N, multiple"):
        artefact(np.zeros((2, 96, 33, 3), np.uint8))


@pytest.mark.slow
def test_triton(network, tmp_path):
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    folder = tmp_path / "repository" / "own"
    export(network, folder, format="triton", preprocess="normalise", sizes="multiples-of-32", heatmap=True)
    assert files(folder) == ["1/model.onnx", "config.pbtxt", "labels.txt", "resnexus.json"]
    assert "dims: [ -1, -1, 3 ]" in (folder / "config.pbtxt").read_text()
    assert (folder / "labels.txt").read_text().splitlines() == list(CLASSES)
    check_answers(folder, network)


@pytest.mark.slow
def test_openvino_model_server(network, tmp_path):
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    folder = tmp_path / "own"
    export(network, folder, format="ovms", preprocess="normalise", sizes="multiples-of-32")
    assert files(folder) == ["1/model.bin", "1/model.xml", "labels.txt", "resnexus.json"]
    check_answers(folder, network)


def test_what_triton_is_told(network):
    record = ArtefactRecord(
        format="triton",
        row=network.architecture,
        weights="own",
        classes=CLASSES,
        preprocess=PREPROCESS,
        interface=Interface(image_size=32, heatmap=True),
        versions={},
    )
    assert configuration(record) == (
        'platform: "onnxruntime_onnx"\n'
        "max_batch_size: 64\n"
        'input [ { name: "images" data_type: TYPE_FP32 dims: [ 3, 32, 32 ] } ]\n'
        'output [ { name: "logits" data_type: TYPE_FP32 dims: [ 7 ] label_filename: "labels.txt" }, '
        '{ name: "heatmap" data_type: TYPE_FP32 dims: [ -1, -1 ] } ]\n'
        "dynamic_batching { }\n"
    )
