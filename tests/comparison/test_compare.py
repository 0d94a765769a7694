"""The main job, end to end on small data: results, resuming, interruptions and bad images."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnexus import Architecture, ResnexusError, compare, complexity
from resnexus.comparison import compare as module
from resnexus.comparison.compare import Timing
from resnexus.comparison.runs import Finished
from resnexus.records import read_json
from resnexus.report.record import Comparison
from resnexus.training.settings import Settings
from resnexus.weights.checkpoint_file import read_checkpoint

_SHAPE = {"depths": (1,), "out_width": 8, "stem": "small", "stem_width": 8}
ROWS = (
    Architecture(name="plain", block="basic", width=8, **_SHAPE),
    Architecture(name="split", block="res2", width=2, scale=2, **_SHAPE),
)
QUICKLY = {
    "models": ROWS,
    "seeds": 2,
    "settings": Settings(epochs=1),
    "timing": Timing(batch_sizes=(1, 2), precisions=("fp32",), rounds=1),
    "series": "none",
}


@pytest.fixture
def folder(tmp_path):
    """Two classes that differ in colour, with one truncated JPEG in val/."""
    random = np.random.default_rng(0)
    for part, count in (("train", 6), ("val", 4)):
        for name, channel in (("green", 1), ("red", 0)):
            target = tmp_path / "data" / part / name
            target.mkdir(parents=True)
            for index in range(count):
                pixels = random.integers(0, 60, (20, 24, 3), dtype=np.uint8)
                pixels[..., channel] += 180
                Image.fromarray(pixels).save(target / f"{index}.jpg")
    broken = tmp_path / "data" / "val" / "red" / "0.jpg"
    broken.write_bytes(broken.read_bytes()[:400])
    return tmp_path / "data"


def files(out):
    return {str(path.relative_to(out)) for path in Path(out).rglob("*") if path.is_file()}


def test_results_are_complete_and_can_be_read_back(tmp_path):
    result = compare("digits", out=tmp_path, **QUICKLY)
    assert read_json(Comparison, tmp_path / "results.json") == result
    assert [network.name for network in result.networks] == ["plain", "split"]
    assert (result.train_images, result.val_images, result.classes) == (1438, 359, 10)
    for network, row in zip(result.networks, ROWS, strict=True):
        cost = complexity(row, 8, num_classes=10, in_chans=1)
        assert (network.gflops, network.mparams) == (cost.gflops, cost.mparams)
        assert [run.seed for run in network.runs] == [0, 1]
        assert network.runs[0].top1 != network.runs[1].top1
        for run in network.runs:
            assert 0.1 < run.top1 <= run.top5 <= 1
            assert run.images == 359
    assert [(cell.model, cell.batch_size) for cell in result.latency] == [
        (name, size) for size in (1, 2) for name in ("plain", "split")
    ]
    assert {(cell.engine, cell.repeats) for cell in result.latency} == {("eager", 1)}
    assert {"index.html", "results.json", "weights/plain-seed1.safetensors", "runs/split-seed0.json"} <= files(tmp_path)


def test_what_cannot_be_timed_is_said_at_once():
    with pytest.raises(ResnexusError, match="cannot time in fp16: engine 'eager' does not run fp16 on cpu"):
        Timing(precisions=("fp32", "fp16"))
    with pytest.raises(ResnexusError, match="rounds=0: expected a whole number of at least 1"):
        Timing(rounds=0)


def test_a_finished_training_is_not_done_again(tmp_path, monkeypatch):
    first = compare("digits", out=tmp_path, **QUICKLY)
    monkeypatch.setattr(module, "train", lambda *_, **__: pytest.fail("trained again"))
    again = compare("digits", out=tmp_path, **QUICKLY)
    assert again.networks == first.networks


@pytest.mark.parametrize("change", [{"settings": Settings(epochs=1, mixup=0)}, {"models": ROWS[:1], "seeds": 3}])
def test_another_job_is_trained(tmp_path, monkeypatch, change):
    compare("digits", out=tmp_path, **QUICKLY)
    trained = []

    def recorded(job, out, on_epoch):
        trained.append(job.name)
        return train(job, out, on_epoch)

    train = module.train
    monkeypatch.setattr(module, "train", recorded)
    compare("digits", out=tmp_path, **{**QUICKLY, **change})
    everything = ["plain-seed0", "split-seed0", "plain-seed1", "split-seed1"]
    assert trained == (["plain-seed2"] if "seeds" in change else everything)


def test_damaged_records_are_not_believed(tmp_path):
    compare("digits", out=tmp_path, **QUICKLY)
    path = tmp_path / "runs" / "plain-seed0.json"
    path.write_text(path.read_text()[:30])
    with pytest.raises(ResnexusError, match=r"plain-seed0.json is not JSON"):
        compare("digits", out=tmp_path, **QUICKLY)


def test_an_interruption_keeps_what_was_finished(tmp_path, monkeypatch):
    done = []

    def interrupted(job, out, on_epoch):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(job.name)
        return train(job, out, on_epoch)

    train = module.train
    monkeypatch.setattr(module, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compare("digits", out=tmp_path, **QUICKLY)
    kept = {f"runs/{name}.json" for name in done} | {f"weights/{name}.safetensors" for name in done}
    assert files(tmp_path) == kept
    monkeypatch.setattr(module, "train", train)
    assert len(compare("digits", out=tmp_path, **QUICKLY).networks[1].runs) == 2


def test_ctrl_c_leaves_whole_files_and_says_so(tmp_path):
    command = [
        sys.executable,
        "-c",
        "from resnexus.cli import main; main()",
        "compare",
        "--out",
        tmp_path,
        "--series",
        "none",
    ]
    options = ["--models", "ResNet_small", "--epochs", "1", "--seeds", "40"]
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}  # more of them wait for each other beside busy processes
    with subprocess.Popen([*command, *options], env=one_thread, stderr=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + 120
            while not (tmp_path / "runs" / "ResNet_small-seed0.json").exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)  # somewhere in the second training
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert errors.endswith("interrupted; what was finished is kept\n")
    assert "Traceback" not in errors
    runs = [read_json(Finished, path).run.seed for path in (tmp_path / "runs").iterdir()]
    weights = [read_checkpoint(path) for path in (tmp_path / "weights").iterdir()]
    assert 1 <= len(runs) <= len(weights) <= len(runs) + 1 < 40  # weights are written first
    assert len(files(tmp_path)) == len(runs) + len(weights)


def test_a_folder_with_a_broken_image(tmp_path, folder):
    options = {**QUICKLY, "models": ROWS[:1], "image_size": 16, "seeds": 1}
    result = compare(folder, out=tmp_path / "out", **options)
    (run,) = result.networks[0].runs
    assert run.images == 7
    (skipped,) = run.skipped
    assert skipped.startswith(str(folder / "val" / "red" / "0.jpg"))
    assert "val/red/0.jpg" in (tmp_path / "out" / "index.html").read_text()


def test_a_broken_training_image_stops_the_training_unless_allowed(tmp_path, folder):
    broken = folder / "train" / "green" / "1.jpg"
    broken.write_text("not an image")
    options = {**QUICKLY, "models": ROWS[:1], "image_size": 16, "seeds": 1}
    with pytest.raises(ResnexusError, match=r"training image .*green/1.jpg: .*allow bad images"):
        compare(folder, out=tmp_path / "out", **options)
    options["settings"] = Settings(epochs=1, allow_bad_images=True)
    assert compare(folder, out=tmp_path / "out", **options).networks[0].runs[0].images == 7


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("nowhere", r"data '.*nowhere': no folder with train/ and val/ is there"),
        ("empty", r"empty"),
        ("one", r"one class"),
    ],
)
def test_data_that_cannot_be_compared(tmp_path, data, message):
    (tmp_path / "empty" / "train").mkdir(parents=True)
    (tmp_path / "empty" / "val").mkdir()
    for part in ("train", "val"):
        (tmp_path / "one" / part / "only").mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "one" / part / "only" / "a.png")
    with pytest.raises(ResnexusError, match=message):
        compare(tmp_path / data, out=tmp_path / "out", **QUICKLY)
    assert not (tmp_path / "out").exists()


def test_json_for_machines(tmp_path):
    command = [sys.executable, "-c", "from resnexus.cli import main; main()", "compare", "--out", tmp_path, "--json"]
    options = ["--models", "Res2Net_small", "--epochs", "1", "--seeds", "1", "--series", "none", "--precisions", "fp32"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=True)
    content = json.loads(done.stdout)
    assert content["networks"][0]["name"] == "Res2Net_small"
    assert content == json.loads((tmp_path / "results.json").read_text())
