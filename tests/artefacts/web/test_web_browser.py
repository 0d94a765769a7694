"""The page in Chromium: the same answers as Python, from a file and from a server, by hand and by keyboard."""

import base64
import json
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from resnexus import export
from resnexus.artefacts.web import build_web
from resnexus.artefacts.web.format import WebFormat
from resnexus.artefacts.web.runtime import PROCESSOR, RuntimeFileError, runtime_files
from resnexus.prediction.predictor import predict
from resnexus.weights.download import DownloadError
from tests import awkward
from tests.assessment.conftest import network, weights  # noqa: F401  # fixtures

pytestmark = pytest.mark.slow
TOLERANCES = {awkward.EXACT: 1e-5, awkward.CLOSE: 0.02}
onnxruntime = pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def runtime():
    try:
        runtime_files(PROCESSOR)
    except (DownloadError, RuntimeFileError) as error:
        pytest.skip(f"needs ONNX Runtime Web: {error}")


@pytest.fixture(scope="module")
def model(make_model):
    return make_model().SerializeToString()


@pytest.fixture(scope="module")
def single(runtime, model, record, tmp_path_factory):
    return build_web(model, record, tmp_path_factory.mktemp("single") / "page.html", single_file=True)


@pytest.fixture(scope="module")
def folder(runtime, model, record, tmp_path_factory):
    return build_web(model, record, tmp_path_factory.mktemp("folder")).parent


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """All awkward pictures as files, by name."""
    place = tmp_path_factory.mktemp("pictures")
    awkward.write(place)
    return {name: place / name for name in awkward.pictures()}


@contextmanager
def opened(chromium, address, **options):
    """A page that is ready; nothing that it asks for may come from outside, and nothing may go wrong unseen."""
    context = chromium.new_context(**options)
    page = context.new_page()
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.set_default_timeout(300_000)  # for a machine that is busy
    page.goto(address)
    page.wait_for_selector("body[data-ready]")
    yield page
    inside = ("blob:", "data:", address.rsplit("/", 1)[0])
    assert [url for url in asked if not url.startswith(inside)] == []
    assert complaints == []
    context.close()


def answers(page, paths):
    """Choose files, wait for all of them, and return the record of each by its name."""
    page.set_input_files("#files", paths)
    done = page.locator(".card:is(.refused, :has(.class))")
    done.nth(len(paths) - 1).wait_for()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the answers").click()
    lines = download.value.path().read_text(encoding="utf-8").splitlines()
    return {record["filename"]: record for record in map(json.loads, lines)}


def expected(model, record, content, count=5):
    """Classes and probabilities by Python and the native ONNX Runtime."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    logits = session.run(["logits"], {"images": record.preprocess(content)[None].numpy()})[0][0].astype(float)
    shares = np.exp(logits - logits.max())
    shares /= shares.sum()
    order = np.argsort(-shares, kind="stable")[:count]
    return order.tolist(), shares[order]


def test_from_a_file_awkward_pictures_are_answered_as_by_python(chromium, single, model, record, files):
    with opened(chromium, single.as_uri()) as page:
        found = answers(page, list(files.values()))
    assert list(found) == list(files)  # in the order in which they were chosen
    assert [one["id"] for one in found.values()] == list(range(len(files)))
    for page, tolerance in TOLERANCES.items():
        for name in awkward.named(page):
            order, shares = expected(model, record, awkward.pictures()[name].content)
            assert found[name]["error"] is None, name
            assert found[name]["class_ids"] == order, name
            np.testing.assert_allclose(found[name]["scores"], shares, atol=tolerance, err_msg=name)
            assert found[name]["label_names"] == [record.classes[index] for index in order]
    for name in awkward.refused_by_pages():
        code = awkward.pictures()[name].page
        assert (found[name]["error"], found[name]["class_ids"]) == (code, []), name


def test_a_network_of_ours_answers_as_predict_does(chromium, runtime, weights, files, tmp_path):  # noqa: F811
    export(weights, tmp_path / "own.html", format=WebFormat(single_file=True))
    with opened(chromium, (tmp_path / "own.html").as_uri()) as page:
        found = answers(page, list(files.values()))
    for one, record in zip(predict(weights, list(files.values())), found.values(), strict=True):
        page = awkward.pictures()[record["filename"]].page
        if page not in TOLERANCES:
            assert (record["error"], record["class_ids"]) == (page, []), record
            assert one.error in (None, page)
            continue
        assert (one.error, record["error"], record["id"]) == (None, None, one.id)
        assert (tuple(record["class_ids"]), tuple(record["label_names"])) == (one.class_ids, one.label_names), record
        np.testing.assert_allclose(record["scores"], one.scores, atol=TOLERANCES[page], err_msg=record["filename"])


def test_an_answer_that_is_not_finite_is_none(chromium, runtime, make_model, record, files, tmp_path):
    from onnx import numpy_helper

    broken = make_model()
    (bias,) = (tensor for tensor in broken.graph.initializer if tensor.name == "bias")
    values = numpy_helper.to_array(bias).copy()
    values[3] = np.nan
    bias.CopyFrom(numpy_helper.from_array(values, bias.name))
    page = build_web(broken.SerializeToString(), record, tmp_path / "page.html", single_file=True)
    with opened(chromium, page.as_uri()) as page:
        found = answers(page, [files["plain.png"]])["plain.png"]
    assert (found["error"], found["class_ids"]) == ("not_finite", [])


@contextmanager
def served(folder, headers=()):
    class Handler(SimpleHTTPRequestHandler):
        def end_headers(self):
            for name, value in headers:
                self.send_header(name, value)
            super().end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/index.html"
    server.shutdown()
    thread.join(10)
    server.server_close()


ISOLATED = (("Cross-Origin-Opener-Policy", "same-origin"), ("Cross-Origin-Embedder-Policy", "require-corp"))


@pytest.mark.parametrize("headers", [(), ISOLATED], ids=["plain", "isolated"])
def test_from_a_server_the_folder_gives_the_same(chromium, folder, model, record, files, headers):
    with served(folder, headers) as address, opened(chromium, address) as page:
        isolated = page.evaluate("crossOriginIsolated && navigator.hardwareConcurrency > 1")
        assert (" threads" in page.locator("#state").inner_text()) == isolated
        found = answers(page, [files["plain.png"]])["plain.png"]
        order, shares = expected(model, record, awkward.pictures()["plain.png"].content)
        assert found["class_ids"] == order
        np.testing.assert_allclose(found["scores"], shares, atol=1e-5)


def test_a_folder_that_is_opened_as_a_file_says_what_it_needs(chromium, folder):
    page = chromium.new_page()
    page.goto((folder / "index.html").as_uri())
    page.wait_for_selector("body[data-failed]")
    assert "This folder needs a web server: run python -m http.server" in page.get_by_role("alert").inner_text()
    assert page.get_by_role("button", name="Take a picture").is_disabled()
    page.close()


def test_the_graphics_processor_falls_back_and_says_so(chromium, runtime, model, record, files, tmp_path):
    page = build_web(model, record, tmp_path / "page.html", single_file=True, webgpu=True)
    with opened(chromium, page.as_uri()) as page:
        page.get_by_label("Compute on").select_option("webgpu")
        page.wait_for_selector("#device:enabled")
        if page.evaluate("document.body.dataset.ready") == "wasm":
            assert page.get_by_role("alert").inner_text().endswith("The processor is used.")
            assert page.get_by_label("Compute on").input_value() == "wasm"
        found = answers(page, [files["plain.png"]])["plain.png"]
        order, shares = expected(model, record, awkward.pictures()["plain.png"].content)
        assert found["class_ids"] == order
        np.testing.assert_allclose(found["scores"], shares, atol=1e-3)


GIVE = """([kind, content, name]) => {
  const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
  const given = new DataTransfer();
  given.items.add(new File([bytes], name, { type: "image/png" }));
  const options = { bubbles: true, cancelable: true, dataTransfer: given, clipboardData: given };
  document.body.dispatchEvent(kind === "paste" ? new ClipboardEvent(kind, options) : new DragEvent(kind, options));
}"""


def test_pictures_are_dropped_pasted_and_taken(chromium, single, files):
    content = base64.b64encode(files["plain.png"].read_bytes()).decode()
    with opened(chromium, single.as_uri(), permissions=["camera"]) as page:
        for count, kind in enumerate(("drop", "paste"), start=1):
            page.evaluate(GIVE, [kind, content, f"{kind}.png"])
            page.wait_for_selector(f".card:nth-child({count}) .class")
        assert page.locator(".card h3").all_inner_texts() == ["paste.png", "drop.png"]
        page.get_by_role("button", name="Take a picture").click()
        page.get_by_role("button", name="Take the picture").click()
        page.wait_for_selector(".card:nth-child(3) .class")
        assert page.locator(".card h3").first.inner_text().startswith("camera ")
        assert not page.get_by_role("dialog").is_visible()
        assert page.evaluate("document.querySelector('video').srcObject") is None


def test_by_keyboard_a_class_is_chosen_and_a_picture_removed(chromium, single, files, record):
    with opened(chromium, single.as_uri()) as page:
        answers(page, [files["plain.png"], files["grey.png"]])
        page.locator("input[type=radio]").first.focus()
        heat = "document.querySelector('.card .heat').toDataURL()"
        before = page.evaluate(heat)
        page.keyboard.press("ArrowDown")
        assert page.evaluate("document.activeElement.value") == "1"
        assert page.evaluate(heat) != before
        page.get_by_label("Heat map").press("Space")
        assert not page.locator(".heat").first.is_visible()
        page.get_by_role("button", name="Remove plain.png").press("Enter")
        assert page.locator(".card h3").all_inner_texts() == ["grey.png"]
        assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Remove grey.png"
        page.get_by_role("button", name="Remove all").press("Enter")
        assert page.locator(".card").count() == 0
        assert page.evaluate("document.activeElement.id") == "files"
        assert not page.locator("#tools").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390, 320])
def test_nothing_overflows_and_everything_can_be_read(chromium, single, files, scheme, width):
    size = {"width": width, "height": 900}
    with opened(chromium, single.as_uri(), viewport=size, color_scheme=scheme) as page:
        answers(page, [files[name] for name in ("plain.png", "wide.png", "high.png", "cut.jpg")])
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(CONTRASTS) == []


CONTRASTS = """() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = numbers(colour).slice(0, 3).map((c) => c / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (numbers(colour)[3] !== 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const texts = Array.from(document.querySelectorAll("body *")).filter((element) => element.checkVisibility()
    && Array.from(element.childNodes).some((node) => node.nodeType === 3 && node.data.trim()));
  return texts.filter((element) => {
    const [a, b] = [light(getComputedStyle(element).color), light(ground(element))];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5;
  }).map((element) => element.outerHTML.slice(0, 120));
}"""
