"""`resnexus bench` as a user types it."""

import json
import subprocess
import sys

import pytest

NAME = "SE_ResNet18_vd"


def bench(*arguments, timeout=200):
    command = [sys.executable, "-c", "from resnexus.cli import main; main()", "bench", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout)


def quick(out, *more):
    options = ["--models", NAME, "--image-size", 32, "--batch-sizes", 1, "--rounds", 2, "--threads", 1]
    return bench(*options, "--engines", "eager,channels_last", "--out", out, *more)


def test_json_has_the_environment_and_the_cells(tmp_path):
    done = quick(tmp_path / "out", "--precisions", "fp32", "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["environment"]["threads"] >= 1
    assert [cell["engine"] for cell in record["cells"]] == ["eager", "channels_last"]
    for cell in record["cells"]:
        assert (cell["model"], cell["device"], cell["precision"], cell["batch_size"]) == (NAME, "cpu", "fp32", 1)
        assert 0 < cell["p10_ms"] <= cell["median_ms"] <= cell["p90_ms"]
        assert cell["throughput_img_s"] == pytest.approx(1000 / cell["median_ms"])
        assert cell["agreement"] < 1e-4
    assert record == json.loads((tmp_path / "out" / "bench.json").read_text())
    page = (tmp_path / "out" / "bench.md").read_text()
    assert f"| {NAME.replace('_', chr(92) + '_')} |" in page


def test_a_second_run_measures_only_what_is_missing(tmp_path):
    assert quick(tmp_path, "--precisions", "fp32", "--json").returncode == 0
    before = json.loads((tmp_path / "bench.json").read_text())
    done = quick(tmp_path, "--precisions", "fp32")
    assert done.returncode == 0, done.stderr
    assert "opening" not in done.stderr
    assert json.loads((tmp_path / "bench.json").read_text()) == before
    done = quick(tmp_path, "--precisions", "bf16")
    assert done.returncode == 2
    assert "measured with other settings, on another machine or with other versions: give another" in done.stderr
    assert json.loads((tmp_path / "bench.json").read_text()) == before


def test_the_engines_are_listed():
    done = bench("--list-engines")
    assert done.returncode == 0
    names = [line.split()[0] for line in done.stdout.splitlines() if line and not line.startswith(" ")]
    assert names[0] == "engine"
    assert {"eager", "compile_reduce_overhead", "onnxruntime", "openvino", "paddle", "resnexus"} <= set(names)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--engines", "openvin"), "unknown engine 'openvin': did you mean 'openvino'?"),
        (("--models", "ResNeXt51"), "unknown"),
        (("--precisions", "fp8"), "unknown precision 'fp8'"),
        (("--batch-sizes", "one"), "'one': expected whole numbers separated by commas"),
        (("--devices", "tpu"), "unknown device 'tpu'"),
        (("--rounds", "0"), "rounds=0"),
    ],
)
def test_a_mistake_is_one_sentence(options, message, tmp_path):
    done = bench(*options, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
