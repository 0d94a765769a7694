"""OpenVINO's files: what is in them, and that OpenVINO alone runs them."""

import json
from xml.etree import ElementTree

import numpy as np
import pytest

from resnexus import ResnexusError, export, open_artefact
from resnexus.artefacts.formats.openvino import compiled
from tests.artefacts.conftest import CLASSES

pytest.importorskip("openvino", reason="OpenVINO is not installed")


@pytest.fixture(scope="module")
def path(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("openvino") / "own.xml"
    export(network, path, format="openvino", heatmap=True)
    return path


def test_it_answers_as_the_network(path, images, logits):
    artefact = open_artefact(path)
    for batch in (slice(0, 1), slice(0, 8), slice(2, 5)):
        assert np.allclose(artefact(images[batch].numpy()), logits[batch], rtol=1e-4, atol=1e-4)
    assert artefact.record.agreement.max_rel < 1e-5
    assert artefact.record.heatmap_agreement.max_rel < 1e-5


def test_metadata_are_where_they_are_looked_for(path):
    tree = ElementTree.parse(path)
    info = {entry.tag: entry.get("value") for entry in tree.find("rt_info/model_info")}
    assert info["model_type"] == "Classification"
    assert info["labels"].split() == [name.replace(" ", "_") for name in CLASSES]
    assert np.allclose(np.array(info["mean_values"].split(), float), [102, 127.5, 153])
    record = json.loads(tree.find("rt_info/resnexus").get("value"))
    assert record["classes"] == list(CLASSES)
    assert record["format"] == "openvino"


SCRIPT = """
import sys, numpy, openvino
core = openvino.Core()
model = core.compile_model(sys.argv[1], "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
numpy.save("out.npy", model(numpy.load("images.npy"))["logits"])
"""


def test_openvino_alone_runs_it(path, alone, logits):
    assert np.allclose(alone(SCRIPT, path), logits, rtol=1e-4, atol=1e-4)


def test_half_a_model(path, tmp_path):
    (tmp_path / "own.xml").write_bytes(path.read_bytes())
    with pytest.raises(ResnexusError, match=r"no such file: .*own\.bin"):
        open_artefact(tmp_path / "own.xml")
    (tmp_path / "own.bin").write_bytes(path.with_suffix(".bin").read_bytes())
    (tmp_path / "own.xml").write_text("<net")
    with pytest.raises(ResnexusError, match=r"own\.xml: OpenVINO cannot open it"):
        open_artefact(tmp_path / "own.xml")


def test_the_whole_preprocessing_is_refused(network, tmp_path):
    with pytest.raises(ResnexusError, match="preprocess='full' is not for OpenVINO"):
        export(network, tmp_path / "own.xml", format="openvino", preprocess="full")


def test_it_computes_in_the_threads_that_it_is_given_and_is_bound_to_no_processor():
    openvino = pytest.importorskip("openvino")
    images = openvino.opset13.parameter([1, 4], np.float32)
    model = openvino.Model([openvino.opset13.relu(images)], [images])
    found = compiled(model, threads=1)
    assert found.get_property("INFERENCE_NUM_THREADS") == 1
    assert found.get_property("ENABLE_CPU_PINNING") is False
    own = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for name in ("INFERENCE_NUM_THREADS", "ENABLE_CPU_PINNING"):
        assert compiled(model).get_property(name) == own.get_property(name)
