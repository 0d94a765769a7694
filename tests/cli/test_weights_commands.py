"""fetch, convert and verify as a user types them, on golden weights from a mirror that is a folder."""

import os
import pickle
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from resnexus import architecture, create_model
from resnexus.parity.golden import golden_network, golden_weights
from resnexus.weights.layouts import PADDLE
from resnexus.weights.mapping import stored_shapes

NAME = "SE_ResNet18_vd"

EXPORT = """
import sys, torch
from resnexus import architecture
from resnexus.parity.golden import golden_network
network = golden_network(architecture("SE_ResNet18_vd"))
network.head.bias.data.add_(float(sys.argv[2]))
torch.onnx.export(network, (torch.zeros(2, 3, 64, 64),), sys.argv[1], dynamo=True, verbose=False)
"""


def resnexus(*arguments, cwd, **environment):
    command = [sys.executable, "-c", "from resnexus.cli import main; main()", *map(str, arguments)]
    variables = os.environ | {"RESNEXUS_HOME": str(cwd / "home")} | environment
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=variables)


@pytest.fixture(scope="module")
def mirror(tmp_path_factory):
    """A folder laid out as the published server is, with one network of golden weights."""
    folder = tmp_path_factory.mktemp("mirror")
    (folder / "dygraph").mkdir()
    with (folder / "dygraph" / f"{NAME}_pretrained.pdparams").open("wb") as file:
        pickle.dump(golden_weights(stored_shapes(PADDLE, architecture(NAME))), file, protocol=2)
    return folder


def test_fetch_convert_verify(tmp_path, mirror):
    done = resnexus("fetch", NAME, cwd=tmp_path, RESNEXUS_MIRROR=f"file://{mirror}")
    assert done.returncode == 0, done.stderr
    fetched = done.stdout.strip()
    state = load_file(fetched)
    expected = golden_network(architecture(NAME)).state_dict()
    assert set(state) == set(expected)
    assert all(torch.equal(state[name], expected[name]) for name in state)

    done = resnexus("fetch", f"{NAME}:imagenet", "--offline", cwd=tmp_path)
    assert done.stdout.strip() == fetched

    done = resnexus("convert", fetched, "timm.pth", "--layout", "timm", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert NAME in done.stdout
    written = torch.load(tmp_path / "timm.pth", weights_only=True)
    assert torch.equal(written["fc.weight"], expected["head.weight"])

    done = resnexus("verify", fetched, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "every name and shape fits, all finite" in done.stdout
    assert done.stdout.count("same function") == 4


def test_an_onnx_file_is_compared_with_its_weights(tmp_path, mirror):
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    weights = mirror / "dygraph" / f"{NAME}_pretrained.pdparams"
    for shift, code, verdict in ((0, 0, "same function"), (1, 1, "ANOTHER FUNCTION")):
        subprocess.run([sys.executable, "-c", EXPORT, tmp_path / "n.onnx", str(shift)], check=True, capture_output=True)
        done = resnexus("verify", "n.onnx", "--weights", weights, cwd=tmp_path)
        assert (done.returncode, verdict in done.stdout) == (code, True), done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fetch"], "error: name checkpoints, or --all for the 27"),
        (
            ["fetch", "Res2Net50_vd_26w_4s:sslt"],
            "error: unknown tag of Res2Net50_vd_26w_4s 'sslt': did you mean 'ssld'",
        ),
        (["fetch", "ResNet50_vd"], "error: ResNet50_vd is a baseline without published weights"),
        (["fetch", "SENet154_vd", "--offline"], "error: SENet154_vd is not in"),
        (["convert", "missing.pdparams", "x.safetensors"], "error: "),
        (["convert", "x.h5", "x.safetensors"], "error: unknown kind of file 'x.h5'"),
        (["verify", "ResNet50_vd"], "error: no golden logits for 'ResNet50_vd'"),
        (["verify", "model.onnx"], "error: model.onnx: an ONNX file needs --weights"),
        (["verify", "SENet154_vd", "--weights", "x.pth"], "has no effect on 'SENet154_vd'"),
    ],
)
def test_mistakes(tmp_path, arguments, message):
    done = resnexus(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_garbage_is_no_onnx_file(tmp_path, mirror):
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    (tmp_path / "n.onnx").write_bytes(b"garbage")
    weights = mirror / "dygraph" / f"{NAME}_pretrained.pdparams"
    done = resnexus("verify", "n.onnx", "--weights", weights, cwd=tmp_path)
    assert (done.returncode, "n.onnx: ONNX Runtime cannot open it" in done.stderr) == (2, True)


def test_pretrained_in_one_line(tmp_path, mirror, monkeypatch):
    monkeypatch.setenv("RESNEXUS_HOME", str(tmp_path))
    monkeypatch.setenv("RESNEXUS_MIRROR", f"file://{mirror}")
    model = create_model(NAME, pretrained="imagenet").eval()
    x = torch.randn(1, 3, 64, 64)
    assert torch.equal(model(x), golden_network(architecture(NAME))(x))
