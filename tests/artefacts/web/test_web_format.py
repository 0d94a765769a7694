"""The page as a format of `resnexus.export`: compared with its network, and an artefact that is opened again."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from resnexus import export, open_artefact
from resnexus.artefacts.photographs import photographs
from resnexus.artefacts.web import build, format
from resnexus.artefacts.web import weights as stored
from resnexus.artefacts.web.build import MODEL
from resnexus.artefacts.web.format import WebFormat, embedded_model, web_record
from resnexus.artefacts.web.runtime import PROCESSOR
from resnexus.errors import ResnexusError
from resnexus.prediction.predictor import predict
from tests.artefacts.conftest import CLASSES, PREPROCESS
from tests.artefacts.web.test_web_build import Page

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory):
    """Two small files where the 14 MB of the runtime would be."""
    place = tmp_path_factory.mktemp("runtime")
    for name in ("script", "program"):
        (place / name).write_bytes(name.encode() * 100)
    with pytest.MonkeyPatch.context() as patch:
        for module in (build, format):
            patch.setattr(module, "runtime_files", lambda *_, **__: (place / "script", place / "program"))
        yield


@pytest.fixture(scope="module")
def folder(stand_in, network, tmp_path_factory):
    place = tmp_path_factory.mktemp("pages") / "page"
    return place, export(network, place, format="web")


def test_the_folder_is_an_artefact(folder, logits):
    place, record = folder
    assert {path.name for path in place.iterdir()} == {
        "index.html",
        MODEL,
        PROCESSOR.script,
        PROCESSOR.program,
        "resnexus.json",
    }
    assert (record.format, record.classes, record.preprocess) == ("web", CLASSES, PREPROCESS)
    assert record.agreement.within(1e-5)
    assert (record.agreement.top1, record.pictures, record.tolerance) == (1, 8, 1e-4)
    opened = open_artefact(place)
    assert opened.record == record
    found = np.concatenate([opened.outputs(opened.prepare(picture))["logits"] for picture in photographs()])
    np.testing.assert_allclose(found, logits, rtol=1e-4, atol=1e-4)


def test_predict_runs_the_folder_and_the_single_file(stand_in, folder, weights, tmp_path):
    page = tmp_path / "page.html"
    export(weights, page, format=WebFormat(single_file=True))
    expected = predict(weights, list(photographs()), topk=3)
    for model in (folder[0], page):
        found = predict(model, list(photographs()), topk=3)
        assert [(one.class_ids, one.label_names) for one in found] == [
            (one.class_ids, one.label_names) for one in expected
        ]
        for own, theirs in zip(found, expected, strict=True):
            assert own.scores == pytest.approx(theirs.scores, rel=1e-4, abs=1e-6)
    with pytest.raises(ResnexusError, match=r"page gives no heat map"):
        predict(folder[0], photographs()[0], heatmaps=True)
    (tmp_path / "other.html").write_bytes(b"<html>\xff")
    with pytest.raises(ResnexusError, match=r"other\.html is no page that `resnexus export --single-file` wrote"):
        predict(tmp_path / "other.html", photographs()[0])


def test_the_model_gives_the_maps_of_all_classes(folder, network, images):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(folder[0] / MODEL, providers=["CPUExecutionProvider"])
    logits, maps = session.run(["logits", "maps"], {"images": images.numpy()})
    bias = network.head.bias.detach().numpy()
    np.testing.assert_allclose(maps.mean((2, 3)) + bias, logits, rtol=1e-4, atol=1e-4)
    with torch.inference_mode():
        features = network.forward_features(images)
        expected = torch.einsum("nchw,kc->nkhw", features, network.head.weight)
    np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-4)


def test_the_page_says_what_the_record_says(folder, network):
    place, record = folder
    page = Page(place / "index.html")
    words = " ".join(" ".join(page.words).split())
    for said in (
        "Licence Apache-2.0",
        "Weights in memory",
        "100 % of 8 pictures",
        "Says what a picture shows, out of 7",
    ):
        assert said in words
    assert f"{record.agreement.max_rel:.1e} of the largest logit" in words
    settings = json.loads(page.texts["settings"])
    assert settings["classes"] == list(CLASSES)
    assert settings["interface"] == {"input": "images", "logits": "logits", "maps": "maps"}
    assert settings["multiLabel"] is False


@pytest.mark.thorough
def test_the_command_line_writes_a_single_file_whose_model_says_what_it_is(
    stand_in, command, weights, tmp_path, monkeypatch
):
    monkeypatch.setattr(stored, "_LEAST", 64)  # the network is small
    page = tmp_path / "page.html"
    arguments = ("--format", "web", "--single-file", "--weights-type", "int8", "--multi-label", "--out", page)
    done = command("export", weights, *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{page}: small with weights own.safetensors, web, opset ")
    assert "tolerance 2e-01" in done.stdout
    model = onnx.load_from_string(embedded_model(page))
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(properties["resnexus"])["classes"] == list(CLASSES)
    assert properties["model_info labels"].startswith("tench great_white_shark")
    assert any(tensor.data_type == onnx.TensorProto.INT8 for tensor in model.graph.initializer)
    shown = Page(page)
    assert json.loads(shown.texts["settings"])["multiLabel"] is True
    difference = float(re.search(r"([\d.e-]+) of the largest logit", " ".join(shown.words))[1])
    assert 1e-4 < difference < 0.1  # what int8 costs, and no more
    done = command("export", weights, "--format", "onnx", "--weights-type", "fp16", "--out", tmp_path / "a.onnx")
    assert done.stderr == "error: --weights-type has no effect on the format onnx: it is for web\n"


def test_classes_without_names_are_numbered(folder):
    _, record = folder
    shown = web_record(replace(record, classes=None, notes=("The weights are random.",)), 7)
    assert shown.classes == tuple(f"class {number}" for number in range(7))
    assert shown.notes == ("The weights are random.",)


@pytest.mark.parametrize("options", [{"heatmap": True}, {"preprocess": "full"}, {"sizes": "multiples-of-32"}])
def test_what_a_page_does_itself_cannot_be_asked_for(stand_in, network, tmp_path, options):
    ((name, value),) = options.items()
    with pytest.raises(ResnexusError, match=rf"{name}={re.escape(repr(value))} has no effect on the format web"):
        export(network, tmp_path / "page", format="web", **options)
    assert not (tmp_path / "page").exists()


def test_a_page_of_somebody_else_is_refused_before_any_work(stand_in, tmp_path):
    (tmp_path / "index.html").write_text("mine")
    with pytest.raises(ResnexusError, match=r"index\.html is no page of ours"):
        export("ResNet_small", tmp_path, format="web", weights="random")
    with pytest.raises(ResnexusError, match="unknown type of weights 'fp8'"):
        WebFormat(weights_type="fp8")
    (tmp_path / "mine.html").write_text("mine")
    with pytest.raises(ResnexusError, match=r"mine\.html is no page that `resnexus export --single-file` wrote"):
        embedded_model(tmp_path / "mine.html")
