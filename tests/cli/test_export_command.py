"""`resnexus export`, as a user types it."""

import json


def test_a_network_is_exported_and_said(command, tmp_path):
    out = tmp_path / "small"
    arguments = ("ResNet_small", "--weights", "random", "--image-size", "32", "--format", "safetensors")
    done = command("export", *arguments, "--out", out)
    assert done.returncode == 0, done.stderr
    head, *lines = done.stdout.splitlines()
    assert head == f"{out}: ResNet_small with weights random, safetensors"
    assert lines[:3] == [
        "  takes     images (N, 3, 32, 32) float32",
        "  gives     logits; classes 1000 by name",
        "  rewrites  none",
    ]
    assert "of 8 pictures against the plain network: largest difference" in lines[3]
    assert lines[3].endswith("the same top class for 100 %")
    assert "The weights are random" in done.stderr


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
