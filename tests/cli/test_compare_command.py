"""What `resnexus compare` hands on."""

import json
import shlex
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from resnexus import architecture, create_model
from resnexus.comparison import compare as module
from resnexus.comparison.dense import compare as dense_module
from resnexus.comparison.dense.settings import DEFAULTS
from resnexus.comparison.settings import Settings
from resnexus.progress import Shown, Silent
from resnexus.training.stopping import Stopped
from resnexus.weights.checkpoint_file import CheckpointRecord, write_checkpoint
from tests.data.photographs.folders import write_coco, write_voc
from tests.test_docs import ROOT


@pytest.fixture
def handed(monkeypatch):
    """Gather what the command hands to `compare`."""
    seen = {}

    def compare(data, **options):
        seen.update(options, data=data)
        return {}

    monkeypatch.setattr(module, "compare", compare)
    return seen


def test_the_help_says_that_weights_may_be_a_file(command):
    text = " ".join(command("compare", "--help").stdout.split())
    assert "--weights TAG|FILE|random" in text
    assert "imagenet, ssld, or a file (.safetensors, .pdparams, .pth) that fits every network" in text


def test_what_is_typed_arrives(command, handed, tmp_path):
    options = ["--models", "ResNet_small, ResNeXt_small", "--weights", tmp_path / "w.pth", "--epochs", 2, "--seeds", 1]
    options += ["--image-size", 5, "--batch-sizes", "1,2", "--precisions", "fp32", "--series", "here/bench.json"]
    options += ["--processes", 3]
    done = command("compare", "--out", tmp_path, "--allow-bad-images", *options)
    assert (done.returncode, done.stdout) == (0, f"wrote {tmp_path / 'index.html'}\n")
    assert handed["models"] == ["ResNet_small", "ResNeXt_small"]
    assert handed["weights"] == str(tmp_path / "w.pth")
    assert (handed["settings"].epochs, handed["settings"].allow_bad_images) == (2, True)
    assert (handed["seeds"], handed["image_size"], handed["series"]) == (1, 5, Path("here/bench.json"))
    assert (handed["timing"].batch_sizes, handed["timing"].precisions) == ((1, 2), ("fp32",))
    assert isinstance(handed["progress"], Shown)
    assert handed["processes"] == 3


def test_json_is_not_mixed_with_progress(command, handed):
    assert command("compare", "--json").stdout == "{}\n"
    assert isinstance(handed["progress"], Silent)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--models", "nope"], "unknown"),
        (["--device", "tpu"], "unknown device 'tpu'"),
        (["--precisions", "fp16"], "cannot time in fp16"),
        (["--batch-sizes", "1,x"], "expected whole numbers"),
        (["--epochs", "0"], "epochs=0: expected at least 1"),
        (["--weights", "gone.pth"], "gone.pth"),
        (["--image-size", "0", "--data", "."], "size=0: expected a whole number of pixels"),
        (["--image-size", "16"], "image_size=16 has no effect on 'digits'"),
        (["--image-size", "5", "--data", "photos"], "image_size=5: ResNet50_vd makes images 32 times smaller"),
    ],
)
def test_a_mistake_is_told_before_anything_is_done(command, monkeypatch, tmp_path, options, message):
    monkeypatch.setattr(module, "train", lambda *_: pytest.fail("trained"))
    monkeypatch.chdir(tmp_path)
    for number in range(4):
        path = tmp_path / "photos" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(path)
    done = command("compare", "--out", tmp_path / "out", *options)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert message in done.stderr


def test_sigterm_is_one_line_and_an_exit_code_of_its_own(command, monkeypatch, tmp_path):
    def stopped(*_):
        raise Stopped(tmp_path)

    monkeypatch.setattr(module, "train", stopped)
    done = command("compare", "--out", tmp_path / "out", "--series", "none")
    assert done.returncode == 143
    assert done.stderr.splitlines()[-1] == f"stopped and kept; the same command goes on from here: {tmp_path}"
    assert "Traceback" not in done.stderr


def test_sigterm_in_an_evaluation_is_one_line_too(command, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "train", lambda *_: signal.raise_signal(signal.SIGTERM))
    done = command("compare", "--out", tmp_path / "out", "--series", "none")
    assert done.returncode == 143
    assert done.stderr.splitlines()[-1] == f"stopped and kept; the same command goes on from here: {tmp_path / 'out'}"


def test_weights_of_another_network_are_refused_before_the_first_step(command, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "train", lambda *_: pytest.fail("trained"))
    network = create_model("ResNet_small", num_classes=10, in_chans=1)
    path = tmp_path / "learned.safetensors"
    write_checkpoint(network.state_dict(), path, CheckpointRecord(architecture=network.architecture))
    options = ["--weights", path, "--out", tmp_path / "out", "--models", "ResNet_small,SE_ResNet_small"]
    done = command("compare", *options, "--seeds", 1)
    assert done.returncode == 2
    assert "learned.safetensors" in done.stderr


@pytest.fixture
def dense(monkeypatch):
    """Gather what the command hands to `compare_dense`."""
    seen = {}

    def compare_dense(task, **options):
        seen.update(options, task=task)
        return {}

    monkeypatch.setattr(dense_module, "compare_dense", compare_dense)
    return seen


@pytest.mark.parametrize("task", ["segmentation", "detection"])
def test_a_task_has_defaults_of_its_own(command, dense, tmp_path, task):
    done = command("compare", "--task", task, "--out", tmp_path)
    assert (done.returncode, done.stdout) == (0, f"wrote {tmp_path / 'index.html'}\n")
    assert (dense["task"], dense["out"], dense["models"], dense["seeds"]) == (task, tmp_path, None, 3)
    assert dense["settings"] == DEFAULTS[task]
    text = " ".join(command("compare", "--help").stdout.split())
    for value in (DEFAULTS[task].epochs, DEFAULTS[task].learning_rate):
        assert f"{value} for {task}" in text
    assert f"for the other tasks {DEFAULTS[task].batch_size}." in text


def test_what_is_typed_for_a_task_arrives(command, dense):
    options = ["--models", "ResNet_small,Res2Net_small", "--epochs", 3, "--train-batch", 4, "--learning-rate", "0.5"]
    options += ["--stage-lr", "0.1, .2,0.5,1"]
    done = command("compare", "--task", "detection", "--seeds", 1, "--json", *options)
    assert done.stdout == "{}\n"
    assert dense["models"] == ["ResNet_small", "Res2Net_small"]
    assert dense["settings"] == replace(
        DEFAULTS["detection"], epochs=3, batch_size=4, learning_rate=0.5, stage_lr=(0.1, 0.2, 0.5, 1.0)
    )
    assert dense["seeds"] == 1
    assert isinstance(dense["progress"], Silent)
    command("compare", "--task", "segmentation", "--output-stride", 8)
    assert dense["settings"] == replace(DEFAULTS["segmentation"], output_stride=8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--task", "detection", "--image-size", "5"],
            "image_size=5 has no effect on canvases of digits: leave it out",
        ),
        (
            ["--task", "detection", "--weights", "ssld"],
            "weights=ssld has no effect on canvases of digits: leave it out",
        ),
        (["--task", "detection", "--data", "voc:nowhere"], "data 'voc:nowhere': there is no folder nowhere"),
        (["--task", "detection", "--data", "photos"], "data 'photos' for detection: expected digits, coco:FOLDER or"),
        (["--task", "segmentation", "--series", "none"], "--series has no effect with --task segmentation: leave it"),
        (["--task", "detecton"], "unknown task 'detecton': did you mean 'detection'?"),
        (["--task", "detection", "--models", "ResNet50_vd"], "unknown backbone for canvases of digits 'ResNet50_vd'"),
        (["--task", "detection", "--train-batch", "1"], "batch_size=1: expected at least 2"),
        (["--task", "detection", "--stage-lr", "0.1,x"], "'0.1,x': expected numbers separated by commas, such as 0.05"),
        (["--task", "detection", "--stage-lr", "1,-1"], "stage_lr=(1.0, -1.0): expected factors of at least 0"),
        (["--task", "detection", "--stage-lr", "1,1"], "stage_lr=(1.0, 1.0): expected 4 factors for ResNet_small"),
        (["--task", "detection", "--output-stride", "8"], "output_stride=8 has no effect on detection: leave it out"),
        (["--task", "segmentation", "--output-stride", "5"], "output_stride=5: expected one of 4, 8, 16"),
        (["--output-stride", "16"], "--output-stride has no effect with --task classification: leave it out"),
        (["--stage-lr", "1,1"], "--stage-lr has no effect with --task classification: leave it out"),
    ],
)
def test_options_without_effect_on_a_task_are_refused(command, monkeypatch, tmp_path, options, message):
    monkeypatch.setattr(dense_module, "train", lambda *_: pytest.fail("trained"))
    done = command("compare", "--out", tmp_path / "out", *options)
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "out").exists()


def test_classification_keeps_its_defaults(command, handed):
    command("compare", "--task", "classification")
    assert handed["settings"] == Settings()
    assert handed["processes"] is None


@pytest.mark.thorough
@pytest.mark.parametrize("task", ["segmentation", pytest.param("detection", marks=pytest.mark.slow)])
def test_the_documented_fine_tuning_runs(command, monkeypatch, tmp_path, task):
    """As the page says it, but on six pictures, for one epoch, from weights of a small network."""
    for package in ("lightning", "torchmetrics", "pycocotools"):
        pytest.importorskip(package)
    row = architecture("SE_ResNet18_vd")
    network = create_model(row, num_classes=2)
    write_checkpoint(network.state_dict(), tmp_path / "own.safetensors", CheckpointRecord(architecture=row))
    folder = write_coco(tmp_path / "coco") if task == "detection" else write_voc(tmp_path / "voc")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(dense_module, "write_dense_report", lambda *_: None)
    line = next(
        line
        for line in (ROOT / "docs" / "backbones.md").read_text().splitlines()
        if f"{task} --data" in line and "--stage-lr" in line
    )
    _, _, *typed = shlex.split(line)
    for option, value in (
        ("--data", f"{folder.name}:{folder.name}"),
        ("--models", row.name),
        ("--weights", "./own.safetensors"),
    ):
        typed[typed.index(option) + 1] = value
    small = ["--image-size", 64, "--epochs", 1, "--seeds", 1, "--train-batch", 2]
    done = command(*typed, *small, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["settings"]["stage_lr"] == "0.05, 0.05, 0.1, 0.15, 1.0"
    (run,) = found["networks"][0]["runs"]
    assert len(run["losses"]) == 1
    assert 0 <= run["scores"]["miou" if task == "segmentation" else "map"] <= 1
