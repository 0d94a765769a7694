"""`resnexus quantize`, as a user types it; what quantises is pretended."""

import json

import pytest

from tests.quantisation.conftest import digits, exported, network, pretended, weights  # noqa: F401  # fixtures


@pytest.mark.thorough
def test_what_is_said(command, pretended, weights, tmp_path):  # noqa: F811
    out = tmp_path / "digits.onnx"
    pretended.spoils = False
    arguments = ("quantize", weights, "--data", "digits", "--format", "onnx", "--out", out, "--calibration-images", "4")
    done = command(*arguments, "--validation-images", "50", "--rounds", "1", "--batch-sizes", "1,2")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].endswith("0.50 points of loss were allowed, and one image is 2.00.")
    assert lines[2].startswith("6 of 8 layers compute in int8 (2 not: a gate: ")
    assert any(line.startswith("Computes in  Top-1, %") for line in lines)
    assert lines[-1] == f"wrote {out}, {tmp_path / 'digits.int8.json'} and {tmp_path / 'digits.int8.html'}"
    assert "quantising with 4 images" in done.stderr
    record = json.loads((tmp_path / "digits.int8.json").read_text())
    assert record["command"].startswith("resnexus quantize ")
    assert {cell["batch_size"] for cell in record["latency"]} == {1, 2}


def test_the_record_as_json(command, pretended, weights, tmp_path):  # noqa: F811
    out = tmp_path / "digits.onnx"
    pretended.spoils = False
    arguments = ("quantize", weights, "--data", "digits", "--format", "onnx", "--out", out, "--calibration-images", "4")
    done = command(*arguments, "--validation-images", "9", "--batch-sizes", "none", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads((tmp_path / "digits.int8.json").read_text())
    assert done.stderr == ""


def test_a_mistake_is_one_sentence(command, weights, tmp_path):  # noqa: F811
    done = command("quantize", weights, "--data", "digits", "--out", tmp_path / "a.xml", "--max-drop", "-1")
    assert (done.returncode, done.stderr) == (2, "error: max_drop=-1.0: expected at least 0\n")
