"""What the tests of the page share: a small model, a stand-in for the runtime, node and a browser."""

import base64
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from resnexus import Preprocess
from resnexus.artefacts.web import build
from resnexus.artefacts.web.record import WebRecord

SCRIPTS = Path(build.__file__).parent / "scripts"
CLASSES = ("tabby", "</script><script>alert(1)</script>", "goldfish", "a & b", "Ärger", "tench", "lorikeet")
SIDE = 24


@pytest.fixture(scope="session")
def record() -> WebRecord:
    return WebRecord(
        name="Small network",
        classes=CLASSES,
        preprocess=Preprocess(size=SIDE, resize_short=29),
        facts=(("Source", "https://example.org/weights"), ("Licence", "<none>")),
    )


@pytest.fixture(scope="session")
def make_model():
    """A model as the page takes it: a convolution, maps by another, their means as logits."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    def make(classes=7, side=SIDE, channels=3, maps=True, kind=TensorProto.FLOAT):
        generator = np.random.default_rng(3)
        weights = {
            "stem": generator.normal(0, 0.2, (48, channels, 3, 3)).astype(np.float32),
            "head": generator.normal(0, 0.3, (classes, 48, 1, 1)).astype(np.float32),
            "bias": generator.normal(0, 0.3, classes).astype(np.float32),
            "axes": np.array([2, 3]),
        }
        nodes = [
            helper.make_node("Conv", ["images", "stem"], ["wide"], pads=[1, 1, 1, 1], strides=[4, 4]),
            helper.make_node("Relu", ["wide"], ["features"]),
            helper.make_node("Conv", ["features", "head"], ["maps"]),
            helper.make_node("ReduceMean", ["maps", "axes"], ["means"], keepdims=0),
            helper.make_node("Add", ["means", "bias"], ["logits"]),
        ]
        outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", classes])]
        if maps:
            outputs.append(helper.make_tensor_value_info("maps", TensorProto.FLOAT, ["batch", classes, "h", "w"]))
        graph = helper.make_graph(
            nodes,
            "small",
            [helper.make_tensor_value_info("images", kind, ["batch", channels, side, side])],
            outputs,
            [numpy_helper.from_array(values, name) for name, values in weights.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
        onnx.checker.check_model(model)
        return model

    return make


@pytest.fixture
def runtime_stand_in(monkeypatch, tmp_path):
    """Two small files where the 14 MB of the runtime would be."""
    contents = {"script": b"export const env = {};\n" * 20, "program": b"\0asm" + bytes(range(256)) * 8}
    paths = []
    for name, content in contents.items():
        paths.append(tmp_path / name)
        paths[-1].write_bytes(content)
    monkeypatch.setattr(build, "runtime_files", lambda *_, **__: tuple(paths))
    return contents


@pytest.fixture(scope="session")
def node():
    """Run a module of JavaScript in the folder of the scripts; `input` is what it is given, plain JSON."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("needs node")

    def run(text, given=None):
        code = f"const given = JSON.parse((await import('node:fs')).readFileSync(0, 'utf8'));\n{text}"
        done = subprocess.run(
            [program, "--input-type=module", "--eval", code],
            input=json.dumps(given),
            capture_output=True,
            text=True,
            cwd=SCRIPTS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout else None

    return run


def as_base64(values) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()


def from_base64(text, dtype) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype)


@pytest.fixture(scope="session")
def chromium():
    """A headless Chromium, driven by Playwright."""
    playwright = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("needs Chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=program,
            args=[
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--enable-unsafe-swiftshader",
                "--use-fake-device-for-media-stream",
                "--use-fake-ui-for-media-stream",
            ],
        )
        yield browser
        browser.close()
