"""fetch, convert and verify as a user types them, on golden weights from a mirror that is a folder."""

import os
import pickle
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from resnexus import ResnexusError, architecture, create_model
from resnexus.cli import app, main
from resnexus.data.preprocess import Preprocess
from resnexus.parity.golden import golden_network, golden_weights
from resnexus.parity.maps import verify_maps
from resnexus.parity.verify import verify
from resnexus.weights.checkpoint_file import CheckpointRecord, write_checkpoint
from resnexus.weights.layouts import PADDLE
from resnexus.weights.mapping import stored_shapes, to_timm

NAME = "SE_ResNet18_vd"


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


@pytest.fixture
def typed(tmp_path, monkeypatch):
    """What a command prints in this process, and its exit code; the sentence of an error, and 2."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RESNEXUS_HOME", str(tmp_path / "home"))

    def run(*arguments):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if isinstance(result.exception, ResnexusError):
            return 2, str(result.exception)
        return result.exit_code, result.stdout

    return run


def test_fetch_convert_verify(tmp_path, mirror, typed, monkeypatch):
    monkeypatch.setattr(verify, "__kwdefaults__", {**verify.__kwdefaults__, "image_sizes": [(97, 131)]})
    done = resnexus("fetch", NAME, cwd=tmp_path, RESNEXUS_MIRROR=f"file://{mirror}")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    fetched = done.stdout.strip()
    state = load_file(fetched)
    expected = golden_network(architecture(NAME)).state_dict()
    assert set(state) == set(expected)
    assert all(torch.equal(state[name], expected[name]) for name in state)

    code, shown = typed("fetch", f"{NAME}:imagenet", "--offline")
    assert (code, shown.strip()) == (0, fetched)

    code, shown = typed("convert", fetched, "timm.pth", "--layout", "timm")
    assert (code, NAME in shown) == (0, True)
    written = torch.load(tmp_path / "timm.pth", weights_only=True)
    assert torch.equal(written["fc.weight"], expected["head.weight"])

    code, shown = typed("verify", fetched)
    assert code == 0
    assert "every name and shape fits, all finite" in shown
    assert shown.count("same function") == 2  # in float64 and float32


def test_verify_of_feature_maps(typed, monkeypatch):
    monkeypatch.setattr(verify_maps, "__kwdefaults__", {**verify_maps.__kwdefaults__, "image_sizes": [(97, 131)]})
    code, shown = typed("verify", NAME, "--features", "1,4")
    assert code == 0, shown
    lines = shown.splitlines()
    assert lines[0] == f"{NAME}, golden weights, against the original's recorded stages"
    assert [line.split(":")[0].split() for line in lines[1:]] == [
        ["97x131", dtype, "map", index] for dtype in ("float64", "float32") for index in "14"
    ]
    assert all(line.endswith(": same function") for line in lines[1:])
    monkeypatch.setattr("resnexus.parity.maps._difference", lambda *_: 1.0)
    code, shown = typed("verify", NAME, "--features", "1")
    assert (code, shown.count("ANOTHER FUNCTION")) == (1, 2)
    assert typed("verify", NAME, "--output-stride", "8") == (
        2,
        "--output-stride 8 has no effect without --features",
    )


def test_verify_of_a_file_that_the_original_has_no_answer_for(tmp_path, typed):
    baseline = create_model("ResNet50_vd", num_classes=3)
    torch.save(to_timm("ResNet50_vd", baseline.state_dict()), tmp_path / "trained.pth")
    code, shown = typed("verify", "trained.pth")
    assert (code, "3 classes" in shown, "every name and shape fits, all finite" in shown) == (0, True, True)
    assert shown.endswith(
        "nothing to compare with: no golden logits for 'ResNet50_vd': they exist for the 24 networks of the series\n"
    )


@pytest.mark.thorough
def test_verify_of_the_authors_res2net_says_that_it_is_another_function(tmp_path, typed):
    row = replace(architecture("Res2Net50_26w_4s"), cascade="authors")
    state = create_model(row, num_classes=2).state_dict()
    torch.save(to_timm(row, state), tmp_path / "timm.pth")
    write_checkpoint(state, tmp_path / "ours.safetensors", CheckpointRecord(architecture=row))
    for name in ("timm.pth", "ours.safetensors"):
        code, shown = typed("verify", name)
        assert code == 1
        assert "same function" not in shown
        assert (
            "ANOTHER FUNCTION: Res2Net50_26w_4s with the authors' cascade is another function than the published "
            "Res2Net50_26w_4s: it is that of the Res2Net authors and of timm, for which no golden logits exist\n"
        ) in shown
    torch.save(state, tmp_path / "bare.pth")
    code, message = typed("verify", "bare.pth")
    assert (code, "(--architecture Res2Net50_26w_4s)" in message) == (2, True)
    code, message = typed("verify", "bare.pth", "--architecture", "SE_ResNet18_vd")
    assert (code, "the weights are those of Res2Net50_26w_4s" in message) == (2, True)
    assert typed("verify", "Res2Net50_26w_4s", "--architecture", "x")[0] == 2


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore")  # the exporter that takes a tenth of the other's time is deprecated
def test_an_onnx_file_of_batch_one_is_compared_with_its_weights(tmp_path, mirror, typed):
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    weights = mirror / "dygraph" / f"{NAME}_pretrained.pdparams"
    network = golden_network(architecture(NAME))
    torch.onnx.export(network, (torch.zeros(1, 3, 64, 64),), tmp_path / "same.onnx", dynamo=False)
    model = onnx.load(tmp_path / "same.onnx")
    (bias,) = (item for item in model.graph.initializer if item.name == "head.bias")
    bias.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(bias) + 1, bias.name))
    onnx.save(model, tmp_path / "shifted.onnx")
    for name, code, verdict in (("same.onnx", 0, "same function"), ("shifted.onnx", 1, "ANOTHER FUNCTION")):
        found, shown = typed("verify", name, "--weights", weights)
        assert (found, verdict in shown) == (code, True), shown


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore")
def test_an_onnx_file_of_maps_is_compared_map_by_map(tmp_path, typed, smallest):
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    row = smallest.architecture
    write_checkpoint(smallest.state_dict(), tmp_path / "w.safetensors", CheckpointRecord(architecture=row))
    network = create_model(row, features_only=True, out_indices=(1, 0)).eval()
    network.load_state_dict({name: smallest.state_dict()[name] for name in network.state_dict()})
    torch.nn.init.ones_(network.stages[0][0].branch.conv2.norm.bias)
    torch.onnx.export(network, (torch.zeros(1, 3, 9, 13),), tmp_path / "n.onnx", dynamo=True, verbose=False)
    code, shown = typed("verify", "n.onnx", "--weights", "w.safetensors", "--features", "1,0")
    assert code == 1, shown
    changed, same = shown.splitlines()[-2:]
    assert changed.startswith("  9x13  float32  map 1: ")
    assert changed.endswith(" of the largest value, tolerance 1e-04: ANOTHER FUNCTION")
    assert same.startswith("  9x13  float32  map 0: ")
    assert same.endswith(": same function")


def test_exported_maps_are_verified(tmp_path, typed, smallest):
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    record = CheckpointRecord(architecture=smallest.architecture, preprocess=Preprocess(size=32, resize_short=32))
    write_checkpoint(smallest.state_dict(), tmp_path / "w.safetensors", record)
    code, shown = typed("export", "./w.safetensors", "--features", "1,0", "--format", "onnx", "--out", "maps.onnx")
    assert code == 0, shown
    assert "  gives     map1 (32 channels at stride 1), map0 (16 channels at stride 1)\n" in shown
    assert "  map 1     of 8 pictures against the plain network: largest difference" in shown
    assert "  map 0     of 8 pictures" in shown
    code, shown = typed("verify", "maps.onnx", "--weights", "w.safetensors", "--features", "1,0")
    assert code == 0, shown
    assert [line.split(":")[0] for line in shown.splitlines()[-2:]] == [
        "  32x32  float32  map 1",
        "  32x32  float32  map 0",
    ]


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
def test_mistakes(tmp_path, arguments, message, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RESNEXUS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sys, "argv", ["resnexus", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_garbage_is_no_onnx_file(tmp_path, mirror, typed):
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    (tmp_path / "n.onnx").write_bytes(b"garbage")
    code, message = typed("verify", "n.onnx", "--weights", mirror / "dygraph" / f"{NAME}_pretrained.pdparams")
    assert (code, "n.onnx: ONNX Runtime cannot open it" in message) == (2, True)


def test_pretrained_in_one_line(tmp_path, mirror, monkeypatch):
    monkeypatch.setenv("RESNEXUS_HOME", str(tmp_path))
    monkeypatch.setenv("RESNEXUS_MIRROR", f"file://{mirror}")
    model = create_model(NAME, pretrained="imagenet").eval()
    x = torch.randn(1, 3, 64, 64)
    assert torch.equal(model(x), golden_network(architecture(NAME))(x))
