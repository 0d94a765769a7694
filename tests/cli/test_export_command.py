"""`resnexus export`, as a user types it."""

import json

import pytest

pytest.importorskip("onnxscript", reason="onnxscript is not installed")


def test_a_network_is_exported_and_said(command, tmp_path):
    out = tmp_path / "small.onnx"
    arguments = (
        "export",
        "ResNet_small",
        "--weights",
        "random",
        "--image-size",
        "32",
        "--format",
        "onnx",
        "--out",
        out,
    )
    done = command(*arguments, "--heatmap")
    assert done.returncode == 0, done.stderr
    head, *lines = done.stdout.splitlines()
    assert head.startswith(f"{out}: ResNet_small with weights random, onnx, opset ")
    assert lines[:3] == [
        "  takes     images (N, 3, 32, 32) float32",
        "  gives     logits, heatmap; classes 1000 by name",
        "  rewrites  fold_batch_norm",
    ]
    assert "of 8 pictures against the plain network: largest difference" in lines[3]
    assert lines[3].endswith("the same top class for 100 %")
    assert lines[4].startswith("  heat maps of 8 pictures")
    assert "The weights are random" in done.stderr
    assert out.stat().st_size > 1e6


def test_the_record_as_json(command, tmp_path):
    done = command(
        "export", "ResNet_small", "--weights", "random", "--image-size", "16", "--format", "safetensors",
        "--out", tmp_path / "small", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads((tmp_path / "small" / "resnexus.json").read_text())
    assert done.stderr == ""


def test_a_mistake_is_one_sentence(command, tmp_path):
    done = command("export", "ResNet_small", "--format", "onnx", "--out", tmp_path / "small.onnx")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ResNet_small")
    done = command("export", "ResNet_smal", "--weights", "random", "--format", "onnx", "--out", tmp_path / "a.onnx")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "did you mean 'ResNet_small'" in done.stderr
