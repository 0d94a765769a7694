"""The page: all that it needs and nothing from outside, whatever the classes are called."""

import base64
import gzip
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from resnexus import Preprocess
from resnexus.artefacts.web import build
from resnexus.artefacts.web.build import MODEL, build_web
from resnexus.artefacts.web.runtime import GRAPHICS, PROCESSOR
from resnexus.artefacts.web.scripts import bundled
from resnexus.artefacts.web.weights import with_weights_as
from resnexus.errors import ResnexusError

pytest.importorskip("jinja2")
onnx = pytest.importorskip("onnx")


class Page(HTMLParser):
    """What a browser finds in a page: attributes, and the texts of scripts and styles by their id or tag."""

    def __init__(self, path):
        super().__init__()
        self.attributes, self.texts, self.policy, self._open, self.words = [], {}, {}, None, []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.attributes += [(tag, *pair) for pair in attributes]
        if tag in ("script", "style"):
            self._open = found.get("id", tag)
            self.texts[self._open] = ""
        if found.get("http-equiv") == "Content-Security-Policy":
            self.policy = dict(rule.split(" ", 1) for rule in found["content"].split("; "))

    def handle_endtag(self, tag):
        self._open = None

    def handle_data(self, data):
        if self._open:
            self.texts[self._open] += data
        else:
            self.words.append(data)


def sha256(text):
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@pytest.fixture
def folder(make_model, record, runtime_stand_in, tmp_path):
    page = build_web(make_model().SerializeToString(), record, tmp_path / "page")
    assert page == tmp_path / "page" / "index.html"
    return page.parent


def test_the_folder_holds_page_runtime_and_model(folder, make_model, runtime_stand_in):
    assert {path.name for path in folder.iterdir()} == {"index.html", MODEL, PROCESSOR.script, PROCESSOR.program}
    assert (folder / PROCESSOR.script).read_bytes() == runtime_stand_in["script"]
    assert (folder / PROCESSOR.program).read_bytes() == runtime_stand_in["program"]
    assert (folder / MODEL).read_bytes() == make_model().SerializeToString()


def test_nothing_comes_from_outside(folder):
    page = Page(folder / "index.html")
    addresses = [value for _, name, value in page.attributes if name in ("src", "href", "action", "srcset", "poster")]
    assert addresses == ["data:,"]
    assert not [name for _, name, _ in page.attributes if name.startswith("on") or name == "style"]
    assert "url(" not in page.texts["style"]
    assert "@import" not in page.texts["style"]
    assert page.policy == {
        "default-src": "'none'",
        "script-src": f"{sha256(page.texts['script'])} blob: 'wasm-unsafe-eval'",
        "style-src": sha256(page.texts["style"]),
        "img-src": "data:",
        "worker-src": "blob:",
        "connect-src": "'self' blob:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert page.texts["script"] == bundled("page.js")
    assert page.texts["worker"] == f'"use strict";\n{bundled("worker.js")}'


def test_the_scripts_know_the_network(folder, record):
    page = Page(folder / "index.html")
    assert json.loads(page.texts["settings"]) == {
        "classes": list(record.classes),
        "preprocess": record.preprocess.to_dict(),
        "multiLabel": False,
        "interface": {"input": "images", "logits": "logits", "maps": "maps"},
        "files": {"runtime": PROCESSOR.script, "wasm": PROCESSOR.program, "model": MODEL},
        "megabytes": 0,
    }
    words = " ".join(" ".join(page.words).split())
    assert "Small network Says what a picture shows, out of 7 classes." in words
    assert "https://example.org/weights" in words
    assert "<none>" in words  # as text, and no element
    assert ("input", "id", "heat") in page.attributes
    assert ("select", "id", "device") not in page.attributes


def test_what_a_script_asks_for_by_id_is_there(make_model, record, runtime_stand_in, tmp_path):
    page = Page(build_web(make_model().SerializeToString(), record, tmp_path, webgpu=True))
    there = {value for _, name, value in page.attributes if name == "id"}
    asked = set(re.findall(r'getElementById\("([\w-]+)"\)', page.texts["script"]))
    assert len(asked) > 10
    assert asked <= there


def test_a_single_file_holds_the_same(folder, make_model, record, tmp_path):
    path = build_web(make_model().SerializeToString(), record, tmp_path / "page.html", single_file=True)
    assert path == tmp_path / "page.html"
    page = Page(path)
    for name, file in (("runtime", PROCESSOR.script), ("wasm", PROCESSOR.program), ("model", MODEL)):
        packed = base64.b64decode(page.texts[f"embedded-{name}"], validate=True)
        assert gzip.decompress(packed) == (folder / file).read_bytes()
    assert page.policy["connect-src"] == "'none'"
    assert page.texts["settings"] == Page(folder / "index.html").texts["settings"]
    again = build_web(make_model().SerializeToString(), record, tmp_path / "again.html", single_file=True)
    assert again.read_bytes() == path.read_bytes()


def test_weights_are_stored_as_asked(make_model, record, runtime_stand_in, tmp_path):
    page = build_web(make_model().SerializeToString(), record, tmp_path, weights_type="int8")
    assert (tmp_path / MODEL).read_bytes() == with_weights_as(make_model(), "int8").SerializeToString()
    assert "8-bit whole numbers, 0.0 MB" in " ".join(Page(page).words)


def test_a_model_without_maps_offers_no_heat_map(make_model, record, runtime_stand_in, tmp_path):
    page = Page(build_web(make_model(maps=False).SerializeToString(), record, tmp_path))
    assert json.loads(page.texts["settings"])["interface"]["maps"] is None
    assert ("input", "id", "heat") not in page.attributes


def test_the_graphics_processor_is_offered_where_its_build_is_shipped(make_model, record, monkeypatch, tmp_path):
    asked = []

    def files(which, **_):
        asked.append(which)
        for name in ("script", "program"):
            (tmp_path / name).write_bytes(b"1")
        return tmp_path / "script", tmp_path / "program"

    monkeypatch.setattr(build, "runtime_files", files)
    page = Page(build_web(make_model().SerializeToString(), record, tmp_path / "page", webgpu=True))
    assert asked == [GRAPHICS]
    assert ("select", "id", "device") in page.attributes
    assert (tmp_path / "page" / GRAPHICS.program).is_file()


def test_a_page_of_somebody_else_is_left_alone(make_model, record, runtime_stand_in, tmp_path):
    (tmp_path / "index.html").write_text("<title>mine</title>")
    with pytest.raises(ResnexusError, match=r"index\.html is no page of ours and is not overwritten"):
        build_web(make_model().SerializeToString(), record, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index.html", "program", "script"]
    page = build_web(make_model().SerializeToString(), record, tmp_path / "page")
    assert build_web(make_model().SerializeToString(), record, tmp_path / "page") == page


@pytest.mark.parametrize(
    ("options", "change", "message"),
    [
        ({"classes": 6}, {}, r"logits is \(any, 6\) .*: expected \(any, 7\)"),
        ({"side": 32}, {}, r"images is \(any, 3, 32, 32\) .*: expected \(any, 3, 24, 24\)"),
        ({}, {"preprocess": Preprocess(size=24, resize_short=29, mean=(0.5,), std=(0.5,))}, r"expected \(any, 1, 24"),
        ({"kind": 11}, {}, r"images is .* of ONNX's type 11: expected .* of float32 \(1\)"),
    ],
)
def test_a_model_that_does_not_fit_its_record_is_refused(
    make_model, record, runtime_stand_in, tmp_path, options, change, message, monkeypatch
):
    monkeypatch.setattr(onnx.checker, "check_model", lambda *_: None)  # of doubles and floats, on purpose
    with pytest.raises(ResnexusError, match=message):
        build_web(make_model(**options).SerializeToString(), replace(record, **change), tmp_path / "page")
    assert not (tmp_path / "page").exists()


def test_a_model_with_other_outputs_is_refused(make_model, record, runtime_stand_in, tmp_path):
    model = make_model()
    del model.graph.output[:]
    with pytest.raises(ResnexusError, match="a model with 1 inputs and 0 outputs: expected one input"):
        build_web(model.SerializeToString(), record, tmp_path / "page")


def test_a_single_file_has_a_name_and_a_size_that_browsers_take(
    make_model, record, runtime_stand_in, tmp_path, monkeypatch
):
    with pytest.raises(ResnexusError, match=r"give it a name that ends in \.html"):
        build_web(make_model().SerializeToString(), record, tmp_path / "page", single_file=True)
    monkeypatch.setattr(build, "LONGEST_TEXT", 100)
    with pytest.raises(ResnexusError, match=r"too large for a single file.*fp16 or int8, or make a folder"):
        build_web(make_model().SerializeToString(), record, tmp_path / "page.html", single_file=True)
    assert not (tmp_path / "page.html").exists()


def test_a_record_names_the_network_and_its_classes(record):
    with pytest.raises(ResnexusError, match="name=' ': give the page a title"):
        replace(record, name=" ")
    with pytest.raises(ResnexusError, match="give the name of at least one class"):
        replace(record, classes=())
