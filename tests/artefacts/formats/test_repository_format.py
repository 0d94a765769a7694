"""The folders of model servers."""

import numpy as np
import pytest

from resnexus import export, open_artefact
from tests.artefacts.conftest import CLASSES


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_triton(network, tmp_path, images, logits):
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    folder = tmp_path / "repository" / "own"
    export(network, folder, format="triton", heatmap=True)
    assert files(folder) == ["1/model.onnx", "config.pbtxt", "labels.txt", "resnexus.json"]
    assert (folder / "config.pbtxt").read_text() == (
        'platform: "onnxruntime_onnx"\n'
        "max_batch_size: 64\n"
        'input [ { name: "images" data_type: TYPE_FP32 dims: [ 3, 32, 32 ] } ]\n'
        'output [ { name: "logits" data_type: TYPE_FP32 dims: [ 7 ] label_filename: "labels.txt" }, '
        '{ name: "heatmap" data_type: TYPE_FP32 dims: [ -1, -1 ] } ]\n'
        "dynamic_batching { }\n"
    )
    assert (folder / "labels.txt").read_text().splitlines() == list(CLASSES)
    artefact = open_artefact(folder)
    assert artefact.record.format == "triton"
    assert np.allclose(artefact(images.numpy()), logits, rtol=1e-4, atol=1e-4)


def test_openvino_model_server(network, tmp_path, images, logits):
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    folder = tmp_path / "own"
    export(network, folder, format="ovms")
    assert files(folder) == ["1/model.bin", "1/model.xml", "labels.txt", "resnexus.json"]
    assert np.allclose(open_artefact(folder)(images.numpy()), logits, rtol=1e-4, atol=1e-4)
