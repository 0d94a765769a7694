"""ONNX files: what is in them, and that ONNX Runtime alone runs them."""

import json

import numpy as np
import pytest

from resnexus import ResnexusError, export, open_artefact
from resnexus.artefacts.photographs import photographs
from tests.artefacts.conftest import CLASSES, PREPROCESS

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
pytest.importorskip("onnxscript", reason="onnxscript is not installed")


@pytest.fixture(scope="module")
def path(weights, tmp_path_factory):
    """Logits and heat maps of prepared images."""
    path = tmp_path_factory.mktemp("onnx") / "own.onnx"
    export(weights, path, format="onnx", heatmap=True)
    return path


@pytest.fixture(scope="module")
def full(network, tmp_path_factory):
    """Probabilities of pictures of any size, for several questions at once."""
    path = tmp_path_factory.mktemp("full") / "full.onnx"
    record = export(network, path, format="onnx", preprocess="full", multi_label=True, opset=21)
    return path, record


def test_it_answers_as_the_network(path, images, logits):
    artefact = open_artefact(path)
    for batch in (slice(0, 1), slice(0, 8), slice(2, 5)):
        assert np.allclose(artefact(images[batch].numpy()), logits[batch], rtol=1e-4, atol=1e-4)
    record = artefact.record
    assert record.agreement.top1 == 1
    assert 0 < record.agreement.max_rel < 1e-5
    assert 0 < record.heatmap_agreement.max_rel < 1e-5
    assert record.pictures == 8


def test_heat_maps_come_beside_the_logits(path, network, images):
    outputs = open_artefact(path).outputs(images.numpy())
    top = outputs["logits"].argmax(1)
    bias = network.head.bias.detach().numpy()[top]
    assert np.allclose(outputs["heatmap"].mean((1, 2)) + bias, outputs["logits"].max(1), rtol=1e-4, atol=1e-4)


def test_metadata_are_where_they_are_looked_for(path, weights, network):
    model = onnx.load(path)
    found = {entry.key: entry.value for entry in model.metadata_props}
    assert found["model_info model_type"] == "Classification"
    assert found["model_info labels"].split() == [name.replace(" ", "_") for name in CLASSES]
    assert np.allclose(np.array(found["model_info mean_values"].split(), float), [102, 127.5, 153])
    assert np.allclose(np.array(found["model_info scale_values"].split(), float), [51, 63.75, 76.5])
    record = json.loads(found["resnexus"])
    assert record["classes"] == list(CLASSES)
    assert record["preprocess"] == PREPROCESS.to_dict()
    assert record["row"]["name"] == network.architecture.name
    assert record["weights"] == weights.name
    assert record["rewrites"] == ["fold_batch_norm", "gate_before_projection"]
    assert record["trained"]["licence"] == "Apache-2.0"
    assert record["opset"] == model.opset_import[0].version
    assert {"onnx", "onnxscript", "torch"} <= record["versions"].keys()


def test_the_graph_has_names_a_free_batch_and_nothing_of_this_machine(path):
    model = onnx.load(path)
    (given,) = model.graph.input
    assert given.name == "images"
    batch, *rest = given.type.tensor_type.shape.dim
    assert batch.dim_param
    assert [side.dim_value for side in rest] == [3, 32, 32]
    assert [output.name for output in model.graph.output] == ["logits", "heatmap"]
    content = path.read_bytes()
    assert b"site-packages" not in content
    assert b"/src/resnexus" not in content


SCRIPT = """
import sys, json, numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
classes = json.loads(session.get_modelmeta().custom_metadata_map["resnexus"])["classes"]
logits, _ = session.run(None, {"images": numpy.load("images.npy")})
assert len(classes) == logits.shape[1]
numpy.save("out.npy", logits)
"""


def test_onnx_runtime_alone_runs_it(path, alone, logits):
    assert np.allclose(alone(SCRIPT, path), logits, rtol=1e-4, atol=1e-4)


def test_pictures_of_any_size(full, network, logits):
    path, record = full
    assert record.opset == 21
    assert record.weights == "in memory"
    artefact = open_artefact(path)
    for picture, expected in zip(photographs(), 1 / (1 + np.exp(-logits)), strict=True):
        assert np.allclose(artefact(picture)[0], expected, atol=1e-5)
    found = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert found["model_info multilabel"] == "True"
    assert "model_info mean_values" not in found


def test_a_file_that_says_nothing(tmp_path):
    given = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    taken = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    graph = onnx.helper.make_graph([node], "plain", [given], [taken])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, tmp_path / "plain.onnx")
    with pytest.raises(ResnexusError, match=r"plain\.onnx says nothing about itself"):
        open_artefact(tmp_path / "plain.onnx")
