"""The commands as a user types them."""

import io
import json
import os
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from resnexus import ResnexusError, list_models
from resnexus.cli import main
from resnexus.comparison import compare

VERBS = (
    "list",
    "info",
    "compare",
    "bench",
    "fetch",
    "convert",
    "verify",
    "optimize",
    "train",
    "evaluate",
    "shard",
    "predict",
    "manifest",
    "quantize",
)


def test_the_command_is_installed():
    (script,) = entry_points(group="console_scripts", name="resnexus")
    assert script.value == "resnexus.cli:main"


def test_help_answers_at_once_since_it_loads_next_to_nothing():
    command = [sys.executable, "-X", "importtime", "-m", "resnexus", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for verb in VERBS:
        assert f"  {verb} " in done.stdout
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert {"resnexus", "typer"} <= loaded
    assert not loaded & {"torch", "torchvision", "numpy", "PIL", "rich", "requests", "cattrs", "safetensors"}


def test_every_verb_explains_every_option(command):
    for verb in VERBS:
        done = command(verb, "--help")
        assert done.returncode == 0
        options = [line for line in done.stdout.splitlines() if line.lstrip().startswith("--")]
        assert options


def test_list_shows_all_networks(command):
    done = command("list")
    assert [line.split()[0] for line in done.stdout.splitlines()[1:] if line.strip()] == list_models()


def test_list_filters_and_sorts(command):
    rows = json.loads(command("list", "50*vd", "--family", "senet", "--sort", "top1", "--json").stdout)
    assert rows == []
    rows = json.loads(command("list", "*50*vd*", "--family", "senet", "--sort", "top1", "--json").stdout)
    assert [row["name"] for row in rows] == ["SE_ResNet50_vd", "SE_ResNeXt50_vd_32x4d"]
    assert rows[1]["gflops"] == 11.20
    checkpoints = json.loads(command("list", "--pretrained", "--json").stdout)
    assert len(checkpoints) == 27


def test_info_of_a_small_sibling_and_its_maps(command):
    done = command("info", "SE_ResNet_small")
    assert done.returncode == 0
    assert "a small sibling; build it and train it" in done.stdout
    assert "published" not in done.stdout
    content = json.loads(command("info", "SE_ResNet_small", "--json").stdout)
    assert (content["published"], content["errata"], content["checkpoints"]) == (None, [], [])
    maps = json.loads(command("info", "ResNeXt50_32x4d", "--json").stdout)["features"]
    assert [(entry["map"], entry["reduction"]) for entry in maps] == [(0, 2), (1, 4), (2, 8), (3, 16), (4, 32)]
    assert [entry["channels"] for entry in maps] == [64, 256, 512, 1024, 2048]


def test_info_tells_what_is_wrong_and_why(command):
    done = command("info", "resnext50_32X4D")
    assert done.returncode == 0
    assert "25.03 M" in done.stdout
    assert "8.46 GFLOPs" in done.stdout
    assert (
        "8.02 GFLOPs, counted 8.46: the page divides the weights of the grouped convolutions by the 32" in done.stdout
    )
    assert "23.64 M parameters, counted 25.03" in done.stdout
    content = json.loads(command("info", "ResNeXt50_32x4d", "--json").stdout)
    assert content["complexity"]["parameters"] == 25028904
    assert content["features"][4] == {"map": 4, "name": "stage3", "channels": 2048, "reduction": 32}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["info", "resnext50"], "error: unknown architecture 'resnext50': did you mean 'ResNeXt50_32x4d'?"),
        (["info", "SE_ResNet18_vd", "--image-size", "0"], "error: image_size=0: expected at least 1 pixel"),
        (["list", "--family", "vit"], "error: unknown family 'vit': accepted are Res2Net, ResNeXt, ResNet, SENet"),
        (["list", "--sort", "top2"], "error: unknown column 'top2'"),
        (["compare", "--data", "digit"], "error: data 'digit': no folder with train/ and val/ is there"),
        (
            ["compare", "--models", "ResNet_smal"],
            "error: unknown architecture 'ResNet_smal': did you mean 'ResNet_small'",
        ),
        (["compare", "--models", "ResNet_small,ResNet_small"], "'ResNet_small' is named 2 times"),
        (["compare", "--batch-sizes", "1,x"], "error: --batch-sizes '1,x': expected whole numbers separated by commas"),
        (["compare", "--precisions", "fp8"], "error: unknown precision 'fp8'"),
        (["compare", "--epochs", "0"], "error: epochs=0: expected at least 1"),
        (["compare", "--series", "some"], "error: unknown series mode 'some'"),
        (["compare", "--seeds", "0"], "error: seeds=0: expected at least 1"),
        (["compare", "--out", "/proc/report"], "error: cannot write /proc/report: No such file or directory."),
        (["compare", "--epochs", "many"], "Invalid value for '--epochs'"),
        (["compair"], "No such command 'compair'"),
        (["optimize"], "error: give one of: a network, --explain REWRITE, --list"),
        (["optimize", "--explain", "fold_bn"], "error: unknown rewrite 'fold_bn': did you mean 'fold_batch_norm'"),
        (["optimize", "SE_ResNet18_vd", "--precision", "fp8"], "error: unknown precision 'fp8'"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(tmp_path, monkeypatch, command, arguments, message):
    monkeypatch.chdir(tmp_path)
    done = command(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_rewrites_are_explained(command):
    everything = command("optimize", "--list").stdout
    assert everything.count("Exact because: ") == everything.count("Applies to: ") > 8
    assert "gate_before_projection" not in command("optimize", "--explain", "Res2Net50_26w_4s").stdout
    for name in ("senet154_vd", "se_resnext_small"):
        assert "gate_before_projection" in command("optimize", "--explain", name).stdout


def test_a_closed_pipe_is_no_traceback():
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m resnexus list | head -1"], capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr


def test_a_folder_whose_name_is_not_unicode_is_printed(monkeypatch, tmp_path):
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "argv", ["resnexus", "compare", "--out", folder])
    monkeypatch.setattr(compare, "compare", lambda data, **options: {})
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    out.flush()
    assert out.buffer.getvalue().decode() == f"wrote {tmp_path}/\\udcff/index.html\n"


def test_json_stays_json_where_standard_output_is_no_utf_8(monkeypatch):
    name = "caf\u00e9 \U0001f600 \udcff"
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "argv", ["resnexus", "compare", "--json"])
    monkeypatch.setattr(compare, "compare", lambda data, **options: {"name": name})
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    out.flush()
    assert json.loads(out.buffer.getvalue().decode("ascii")) == {"name": name}


def test_what_a_message_quotes_cannot_steer_the_terminal(command, monkeypatch):
    def broken():
        raise ResnexusError("fits no \x1b[31mnetwork\r:\n- stem\n+ \udcff")

    monkeypatch.setattr("resnexus.cli.application.app", broken)
    assert command("list").stderr == "error: fits no \\x1b[31mnetwork\\r:\n- stem\n+ \\udcff\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("predict", "-", "--model", "ResNet_small", "--weights", "random", "--out", "-"),
        ("distill", "score", "-", "--teacher", "ResNet_small", "--weights", "random", "--out", "cache"),
    ],
)
def test_standard_input_that_is_closed_is_one_sentence(tmp_path, monkeypatch, command, arguments):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", None)  # as Python has it then
    done = command(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: -: standard input is closed")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("bench", "--list-engines", "--json"), "--json has no effect with --list-engines"),
        (("train", "--list-recipes", "--recipe", "distil"), "--recipe has no effect with --list-recipes"),
        (("distill", "run", "ssld-small", "--print-config", "--json"), "--json has no effect with --print-config"),
        (("optimize", "--list", "--threads", "2"), "--threads has no effect with --list"),
        (("optimize", "--clear", "--replan"), "--replan has no effect with --clear"),
        (("optimize", "--explain", "fold_batch_norm", "--kernels"), "--kernels has no effect with --explain"),
        (("verify", "a.onnx", "--signature", "key", "--features", "1"), "--features has no effect with --signature"),
        (
            ("export", "ResNet_small", "--format", "onnx", "--out", "a.onnx", "--output-stride", "8"),
            "--output-stride 8 has no effect without --features",
        ),
    ],
)
def test_what_would_be_ignored_is_refused(tmp_path, monkeypatch, command, arguments, message):
    monkeypatch.setenv("RESNEXUS_HOME", str(tmp_path))
    done = command(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {message}")
