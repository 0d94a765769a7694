"""`resnexus bench` as a user types it."""

import json
import os

import pytest

from resnexus.benchmark import run
from resnexus.benchmark.cases import CASES
from resnexus.benchmark.peaks import Peak
from resnexus.claim import claimed
from resnexus.cli.bench import _CASES
from resnexus.errors import ResnexusError

NAME = "SE_ResNet18_vd"


@pytest.fixture
def bench(command, tmp_path, monkeypatch):
    """The command on one network and two engines, without measuring the machine."""

    def peak(device, precision, threads):
        return Peak(device=device, precision=precision, tflops=0.1, gbytes_s=10.0, call_us=2.0)

    monkeypatch.setattr(run, "peak", peak)
    monkeypatch.setenv("RESNEXUS_HOME", str(tmp_path / "home"))

    def quick(*more, out=tmp_path / "out"):
        options = ["--models", NAME, "--image-size", 32, "--batch-sizes", 1, "--rounds", 1, "--threads", 1]
        return command("bench", *options, "--engines", "eager,channels_last", "--out", out, *more)

    return quick


def test_json_has_the_environment_and_the_cells(bench, tmp_path):
    done = bench("--precisions", "fp32", "--json")
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
    assert "GFLOP\n" not in page  # the baseline of penalties was not timed, so there is no section on them


def test_feature_maps(bench, tmp_path):
    done = bench("--precisions", "fp32", "--features", "4,1", "--output-stride", 8, "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert (record["settings"]["out_indices"], record["settings"]["output_stride"]) == ([4, 1], 8)
    for cell in record["cells"]:
        assert (cell["out_indices"], cell["output_stride"]) == ([4, 1], 8)
        assert cell["worst_map"] in (1, 4)
        assert cell["agreement"] < 1e-4
    page = (tmp_path / "out" / "bench.md").read_text()
    assert "32x32 pixels, feature maps 4, 1, output stride 8, 1 thread" in page
    assert "Largest difference from the plain fp32 maps, each over its own largest value: eager 0.0e+00" in page
    done = bench("--precisions", "fp32", "--features", "4")
    assert done.returncode == 2
    assert "out_indices 4,1 there, 4 here; output_stride 8 there, None here" in done.stderr


def test_a_case_is_what_its_name_says(command, tmp_path, monkeypatch):
    asked = []

    def measured(models, settings, out, *, quiet):
        asked.append((models, settings))
        raise ResnexusError("not now")

    monkeypatch.setattr("resnexus.cli.bench._measured", measured)
    command("bench", "--case", "mlperf-detector", "--batch-sizes", "2", "--out", tmp_path / "out")
    ((models, settings),) = asked
    assert models == ["ResNeXt50_32x4d"]
    assert (settings.out_indices, settings.image_size, settings.output_stride) == ((2, 3, 4), 800, None)
    assert (settings.precisions, settings.batch_sizes) == (("fp32",), (2,))
    assert {"openvino", "onnxruntime", "compile_max_autotune", "resnexus"} <= set(settings.engines)


def test_the_help_names_every_case():
    assert ", ".join(CASES) == _CASES


def test_a_second_run_measures_only_what_is_missing(bench, tmp_path):
    path = tmp_path / "out" / "bench.json"
    first = bench("--precisions", "fp32")
    assert first.returncode == 0, first.stderr
    assert first.stderr.splitlines()[:3] == [
        "measuring what the machine can do",
        "bench",
        f"{NAME} on cpu, batch 1",
    ]
    assert first.stdout.endswith(f"wrote {path} and {path.with_suffix('.md')}\n")
    before = path.read_text()
    done = bench("--precisions", "fp32")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"2 cells measured\n{path} has all of this already: nothing was measured\n"
    assert path.read_text() == before
    done = bench("--precisions", "bf16", "--rounds", 2)
    assert done.returncode == 2
    assert "was measured with precisions fp32 there, bf16 here; rounds 1 there, 2 here: give another" in done.stderr
    assert path.read_text() == before


def test_the_folder_is_looked_at_before_anything_is_measured(bench, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "peak", lambda *_: pytest.fail("measured"))
    (tmp_path / "file").write_text("")
    done = bench(out=tmp_path / "file" / "out")
    assert done.returncode == 2
    assert f"error: cannot write {tmp_path / 'file' / 'out'}: Not a directory" in done.stderr
    other = tmp_path / "other"
    other.mkdir()
    (other / "bench.md").write_text("My notes.")
    done = bench(out=other)
    assert done.returncode == 2
    assert f"error: {other / 'bench.md'} has no bench.json beside it, so it is not ours to replace" in done.stderr
    (other / "bench.json").write_text('{"mine": 1}')
    done = bench(out=other)
    assert done.returncode == 2
    assert f"error: {other / 'bench.json'}: unknown field of Bench 'mine'" in done.stderr
    assert sorted(os.listdir(other)) == ["bench.json", "bench.md"]
    assert (other / "bench.md").read_text() == "My notes."


def test_two_do_not_measure_in_one_folder(bench, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "peak", lambda *_: pytest.fail("measured"))
    with claimed(tmp_path / "out", busy="another process measures in"):
        done = bench()
    assert done.returncode == 2
    assert f"error: another process measures in {tmp_path / 'out'}: wait for it, or give another folder" in done.stderr


def test_the_engines_are_listed(command):
    done = command("bench", "--list-engines")
    assert done.returncode == 0
    names = [line.split()[0] for line in done.stdout.splitlines() if line and not line.startswith(" ")]
    assert names[0] == "engine"
    assert {"eager", "compile_reduce_overhead", "onnxruntime", "openvino", "paddle", "resnexus"} <= set(names)
    assert "\u2026" not in done.stdout  # nothing is cut off


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--engines", "openvin"), "unknown engine 'openvin': did you mean 'openvino'?"),
        (("--engines", "tvm"), "names, see resnexus bench --list-engines."),
        (("--models", "ResNeXt51"), "unknown"),
        (("--models", ""), "--models '': expected networks separated by commas, quick or all"),
        (("--precisions", "fp8"), "unknown precision 'fp8'"),
        (("--batch-sizes", "one"), "'one': expected whole numbers separated by commas"),
        (("--devices", "tpu"), "unknown device 'tpu'"),
        (("--rounds", "0"), "rounds=0"),
        (("--features", "1,5"), "out_indices=(1, 5): expected maps from 0, the stem, to 4"),
        (("--features", "-1"), "map -1: expected the number of a feature map"),
        (("--output-stride", "6"), "output_stride=6: expected one of 4, 8, 16, 32"),
        (("--case", "mlperf-detektor"), "unknown case 'mlperf-detektor': did you mean 'mlperf-detector'?"),
        (("--case", "mlperf-detector", "--features", "1"), "--features has no effect with --case mlperf-detector"),
    ],
)
def test_a_mistake_is_one_sentence(command, options, message, tmp_path):
    done = command("bench", *options, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
