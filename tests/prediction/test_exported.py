"""Artefacts answer as the network does, through everything that is around a network."""

import pytest

from resnexus import ResnexusError, export
from resnexus.prediction.inputs import Listing
from resnexus.prediction.predictor import Predictor, predict

FORMATS = {"onnx": "own.onnx", "openvino": "own.xml", "pt2": "own.pt2", "safetensors": "own"}


@pytest.fixture(scope="module")
def artefacts(weights, tmp_path_factory):
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    folder = tmp_path_factory.mktemp("artefacts")
    for format, name in FORMATS.items():
        more = {"preprocess": "normalise", "heatmap": True} if format == "onnx" else {}
        export(weights, folder / name, format=format, **more)
    return folder


@pytest.mark.parametrize("format", FORMATS)
def test_the_records_are_the_networks(artefacts, weights, awkward, format):
    plain = predict(weights, awkward[0])
    found = predict(artefacts / FORMATS[format], awkward[0], trust_code=format == "pt2")
    assert [(one.id, one.filename, one.class_ids, one.label_names, one.error) for one in found] == [
        (one.id, one.filename, one.class_ids, one.label_names, one.error) for one in plain
    ]
    for own, theirs in zip(found, plain, strict=True):
        assert own.scores == pytest.approx(theirs.scores, rel=1e-4, abs=1e-6)


def test_probabilities_and_heat(artefacts, weights, awkward):
    path = artefacts / FORMATS["onnx"]
    with Predictor(weights, heatmaps=True) as plain, Predictor(path, heatmaps=True) as exported:
        for own, theirs in zip(exported.seen(Listing([awkward[0]])), plain.seen(Listing([awkward[0]])), strict=True):
            assert own.prediction.class_ids == theirs.prediction.class_ids
            assert own.prediction.scores == pytest.approx(theirs.prediction.scores, rel=1e-4, abs=1e-6)
            assert (own.heat is None) == (theirs.heat is None)
            if own.heat is not None:
                assert own.heat == pytest.approx(theirs.heat, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "accelerated"}, "engine='accelerated' has no effect on .*own: an artefact runs as it was exported"),
        ({"embeddings": True}, "embeddings=True has no effect on .*own"),
        ({"heatmaps": True}, "own gives no heat map: export it with heatmap=True"),
    ],
)
def test_what_an_artefact_cannot_do(artefacts, options, message):
    with pytest.raises(ResnexusError, match=message):
        Predictor(artefacts / "own", **options)


def test_code_is_to_be_trusted(artefacts, awkward):
    with pytest.raises(ResnexusError, match="opening the format pt2 can run code"):
        predict(artefacts / "own.pt2", awkward[0])
