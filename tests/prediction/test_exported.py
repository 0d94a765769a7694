"""Artefacts answer as the network does, through everything that is around a network."""

import numpy as np
import pytest
import torch

from resnexus import ResnexusError, export
from resnexus.artefacts.formats.registry import find_format
from resnexus.prediction import exported
from resnexus.prediction.bulk import one_thread
from resnexus.prediction.inputs import Listing
from resnexus.prediction.predictor import Predictor, predict
from resnexus.prediction.settings import PredictionSettings
from resnexus.weights.checkpoint_file import CheckpointRecord, write_checkpoint
from tests.assessment.conftest import PREPROCESS
from tests.sampled import sampled

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


def check_same(found, plain):
    assert [(one.id, one.filename, one.class_ids, one.label_names, one.error) for one in found] == [
        (one.id, one.filename, one.class_ids, one.label_names, one.error) for one in plain
    ]
    for own, theirs in zip(found, plain, strict=True):
        assert own.scores == pytest.approx(theirs.scores, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("format", FORMATS)
def test_the_records_are_the_networks(artefacts, weights, awkward, format):
    found = predict(artefacts / FORMATS[format], awkward[0], trust_code=format == "pt2")
    check_same(found, predict(weights, awkward[0]))


@pytest.mark.parametrize("preprocess", sampled(["normalise", "full"], ["normalise"]))
def test_probabilities_and_heat(artefacts, weights, awkward, tmp_path, preprocess):
    path = artefacts / FORMATS["onnx"]
    if preprocess == "full":
        path = tmp_path / "own.onnx"
        export(weights, path, format="onnx", preprocess=preprocess, heatmap=True)
    with Predictor(weights, heatmaps=True) as plain, Predictor(path, heatmaps=True) as exported:
        found, expected = (list(one.seen(Listing([awkward[0]]))) for one in (exported, plain))
    check_same([one.prediction for one in found], [one.prediction for one in expected])
    for own, theirs in zip(found, expected, strict=True):
        assert (own.frame is None) == (own.heat is None) == (theirs.heat is None)
        if own.heat is not None:
            assert np.array_equal(own.frame, theirs.frame)
            assert own.heat == pytest.approx(theirs.heat, rel=1e-3, abs=1e-4)


@pytest.mark.thorough
def test_whole_pictures_are_taken_one_at_a_time_and_from_workers_too(weights, awkward, tmp_path):
    path = tmp_path / "own.pt2"
    export(weights, path, format="pt2", preprocess="full", multi_label=True)
    with Predictor(path, trust_code=True) as predictor:
        assert (predictor.card.whole, predictor.card.batch_size) == (True, 1)
        found = list(predictor.stream(awkward[0]))
    check_same(found, predict(weights, awkward[0], multi_label=True))
    with pytest.raises(ResnexusError, match=r"batch_size=8 has no effect on .*own\.pt2: it prepares pictures itself"):
        Predictor(path, trust_code=True, batch_size=8)
    pytest.importorskip("pebble")
    assert predict(path, awkward[0], trust_code=True, workers=1) == found


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


OTHERS = {"triton": {}, "ovms": {}, "aoti": {"instruction_set": "avx2"}, "executorch": {}}
PLACES = {"aoti": "own.aoti.pt2", "executorch": "own.pte"}


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("format", OTHERS)
def test_what_takes_long_to_write_answers_the_same(weights, awkward, tmp_path, format):
    for package in find_format(format).packages:
        pytest.importorskip(package, reason=f"{package} is not installed")
    path = tmp_path / PLACES.get(format, format)
    export(weights, path, format=format, **OTHERS[format])
    check_same(predict(path, awkward[0], trust_code=format == "aoti"), predict(weights, awkward[0]))


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 21_841])
def test_heads_of_any_size(random_network, network, awkward, tmp_path, count):
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    own = random_network(network.architecture, num_classes=count).float()
    names = tuple(f"class {number}" for number in range(count))
    record = CheckpointRecord(architecture=own.architecture, classes=names, preprocess=PREPROCESS)
    write_checkpoint(own.state_dict(), tmp_path / "own.safetensors", record)
    export(tmp_path / "own.safetensors", tmp_path / "own.onnx", format="onnx")
    for multi_label in (False, True):
        options = {"multi_label": multi_label, "threshold": 0.0}
        plain = predict(tmp_path / "own.safetensors", awkward[0], **options)
        check_same(predict(tmp_path / "own.onnx", awkward[0], **options), plain)
        for one in plain:
            if one.error is None:
                assert len(one.class_ids) == min(5, count)
                assert one.label_names == tuple(names[number] for number in one.class_ids)
                assert multi_label or count > 1 or one.scores == (1.0,)


def test_other_libraries_have_as_many_threads_as_pytorch(monkeypatch):
    asked = []

    def opened(model, *, trust_code, threads):
        asked.append(threads)
        raise ResnexusError("nothing need be opened")

    def ask():
        with pytest.raises(ResnexusError, match="nothing need be opened"):
            exported.open_exported("own.onnx", PredictionSettings())

    monkeypatch.setattr(exported, "open_artefact", opened)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        ask()
        with one_thread():  # as a shard of a manifest is predicted
            ask()
    finally:
        torch.set_num_threads(before)
    assert asked == [3, 1]
