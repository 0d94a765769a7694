"""`resnexus distill train`, `finetune`, `fixres` and `run`, as they are typed."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from resnexus.cli.distill.options import report
from tests.distillation.pictured import folders, teacher

SMALL = ["image_size=8", "eval_size=8", "resize_short=8", "epochs=1", "global_batch_size=4", "warmup_epochs=0"]
CHANGES = [word for setting in SMALL for word in ("--set", setting)] + ["--device", "cpu"]


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(folders(tmp_path))
    teacher(tmp_path / "teacher.safetensors")
    return tmp_path


@pytest.mark.thorough
def test_a_student_in_three_commands(command, place):
    student = ["--model", "ResNet_small", "--teacher", "teacher.safetensors", "--labelled", "labelled"]
    done = command("distill", "train", "pool", *student, "--out", "first", "--loss", "published", *CHANGES)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("% top-1 after epoch 1 of 1\nwrote first/last.safetensors\n")
    assert "14 pictures to learn from; 8 have labels, which do not count" in done.stderr
    last = ["first/last.safetensors", "--labelled", "labelled"]
    done = command(
        "distill", "finetune", *last, "--teacher", "teacher.safetensors", "--out", "second", "--json", *CHANGES
    )
    assert done.returncode == 0, done.stderr
    assert [row["images"] for row in json.loads(done.stdout)] == [4]
    done = command(
        "distill",
        "fixres",
        "second/last.safetensors",
        "--labelled",
        "labelled",
        "--out",
        "third",
        "--sizes",
        "8,12",
        *CHANGES,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split(":")[0].strip() for line in lines[:2]] == ["8 pixels", "12 pixels"]
    assert "the size is the best of these on the very images that it is evaluated on" in done.stdout
    assert lines[-1] == "wrote third/last.safetensors"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "pool", "--model", "ResNet_small", "--out", "x"], "error: no teacher: name one with teacher="),
        (["train", "gone", "--model", "ResNet_small", "--out", "x", "--teacher", "teacher.safetensors"], "error: "),
        (["train", "pool", "--model", "ResNet_smal", "--out", "x", "--teacher", "teacher.safetensors"], "did you mean"),
        (["train", "pool", "--model", "ResNet_small", "--out", "x", "--loss", "kll"], "unknown loss 'kll'"),
        (["finetune", "gone.safetensors", "--labelled", "labelled", "--out", "x"], "error: "),
        (["run", "ssld-smal", "--out", "x"], "unknown configuration 'ssld-smal': did you mean 'ssld-small'"),
        (["run", "ssld-published", "--out", "x"], "has no data of its own"),
        (["run", "ssld-small", "--out", "x", "--pool", "pool"], "belong together: give both (--labelled, --pool)"),
    ],
)
def test_a_mistake_of_a_student_is_one_sentence(command, place, arguments, message):
    done = command("distill", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(place.glob("x/*.safetensors"))


def test_a_configuration_is_printed(command):
    done = command("distill", "run", "ssld-small", "--print-config")
    assert "  name: digits\n" in done.stdout


def test_every_step_of_a_student_explains_its_options(command):
    for step in ("train", "finetune", "fixres", "run"):
        done = command("distill", step, "--help")
        assert done.returncode == 0
        assert "--out" in done.stdout


def test_pictures_that_were_skipped_are_named_beside_the_json(capsys):
    rows = [{"epoch": 1, "train_loss": 0.5}]
    outcome, recipe = SimpleNamespace(rows=rows), SimpleNamespace(epochs=1)
    bad = [f"pool/{number}.png: damaged" for number in range(12)]
    report(SimpleNamespace(outcome=outcome, recipe=recipe, out=Path("out"), bad_images=bad), as_json=True)
    out, err = capsys.readouterr()
    assert json.loads(out) == rows
    assert err.splitlines()[0] == "12 images could not be read and were skipped:"
    assert err.splitlines()[1:] == [*(f"  {one}" for one in bad[:10]), "  and 2 more"]
