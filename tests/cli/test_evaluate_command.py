"""`resnexus evaluate` as a user types it, on a few dozen digits in class folders."""

import json
import re
import shlex
from pathlib import Path

import pytest
import torch
import typer
from PIL import Image

from resnexus import Architecture
from resnexus.cli.application import app
from resnexus.data.digits import load_digits
from resnexus.data.preprocess import Preprocess
from resnexus.weights.checkpoint_file import CheckpointRecord, write_checkpoint


@pytest.fixture(scope="module")
def work(tmp_path_factory, random_network):
    """Eight pictures of each of three digits to evaluate on, and a network that has seen none of them."""
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn")
    folder = tmp_path_factory.mktemp("work")
    images, labels = load_digits()
    for digit in (0, 1, 2):
        for part, chosen in (("train", slice(2)), ("val", slice(2, 10))):
            (folder / "digits" / part / str(digit)).mkdir(parents=True)
            for number, pixels in enumerate(images[labels == digit][chosen]):
                Image.fromarray(pixels[..., 0]).save(folder / "digits" / part / str(digit) / f"{number}.png")
    row = Architecture(name="own", block="basic", depths=(1,), width=8, out_width=8, stem="small", stem_width=8)
    for name, classes in (("own", ("0", "1", "2")), ("other", ("2", "1", "0"))):
        record = CheckpointRecord(architecture=row, classes=classes, preprocess=Preprocess(size=8, resize_short=8))
        write_checkpoint(
            random_network(row, num_classes=3).float().state_dict(), folder / f"{name}.safetensors", record
        )
    return folder


@pytest.fixture
def here(work, monkeypatch):
    monkeypatch.chdir(work)
    return work


def test_a_network_is_evaluated_and_compared(here, command):
    done = command("evaluate", "own.safetensors", "--data", "digits/val/..", "--out", "first", "--sizes", "12")
    assert done.returncode == 0, done.stderr
    record = json.loads((here / "first" / "evaluation.json").read_text())
    assert record["images"]["count"] == 24
    assert record["command"] == "resnexus evaluate own.safetensors --data digits/val/.. --out first --sizes 12"
    assert f"{100 * record['top1']['value']:.2f} % top-1 (95 % interval" in done.stdout
    assert "wrote first/index.html, first/evaluation.json and first/predictions.npz" in done.stdout
    assert "evaluating: 24 of 24" in done.stderr

    done = command(
        *("evaluate", "other.safetensors", "--data", "./digits", "--out", "second", "--against", "first", "--json"),
        *("--device", "auto"),
    )
    assert done.stderr == ""
    other = json.loads(done.stdout)
    assert other == json.loads((here / "second" / "evaluation.json").read_text())
    assert (record["device"], other["device"]) == ("cpu", "cuda" if torch.cuda.is_available() else "cpu")
    assert other["images"]["sha256"] == record["images"]["sha256"]
    paired = other["against"]["paired"]
    assert paired["difference"] == pytest.approx(other["top1"]["value"] - record["top1"]["value"])
    assert paired["both"] + paired["second_only"] == record["top1"]["right"]


def test_corruptions_and_preparations(here, command):
    done = command(
        *("evaluate", "own.safetensors", "--data", "./digits", "--out", "third", "--sensitivity"),
        *("--corruptions", "all", "--severities", "5", "--json"),
    )
    record = json.loads(done.stdout)
    assert len(record["corruptions"]) == 15
    assert {found["severity"] for found in record["corruptions"]} == {5}
    assert len(record["variations"]) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["own.safetensors", "--data", "nowhere"], "error: data 'nowhere': no folder with train/ and val/ is there"),
        (["nowhere.safetensors", "--data", "./digits"], "error: cannot read nowhere.safetensors: No such file"),
        (["own.safetensors", "--data", "./digits", "--corruptions", "frog"], "error: unknown corruption 'frog'"),
        (["own.safetensors", "--data", "./digits", "--severities", "0"], "error: severity=0: expected 1 to 5"),
        (["own.safetensors", "--data", "./digits", "--sizes", "a"], "error: --sizes 'a': expected whole numbers"),
        (["own.safetensors", "--data", "./digits", "--labels", "wnid"], "error: labels='wnid' are ImageNet's classes"),
        (
            ["own.safetensors", "--data", "./digits", "--against", "nowhere"],
            "error: no evaluation of ours: cannot read",
        ),
        (["own.safetensors", "--data", "./digits", "--device", "tpu5"], "error: unknown device 'tpu5'"),
        (["own.safetensors"], "Missing option '--data'"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(here, command, arguments, message):
    done = command("evaluate", *arguments, "--out", "wrong")
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (here / "wrong" / "evaluation.json").exists()


def test_a_folder_of_something_else_is_left_alone(here, command):
    (here / "mine").mkdir(exist_ok=True)
    (here / "mine" / "index.html").write_text("mine")
    done = command("evaluate", "own.safetensors", "--data", "./digits", "--out", "mine")
    assert done.returncode == 2
    assert "index.html has no evaluation.json beside it, so it is not ours to replace" in done.stderr
    assert (here / "mine" / "index.html").read_text() == "mine"


PAGE = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")


def test_the_options_that_the_page_shows_are_there():
    verbs = typer.main.get_command(app).commands
    lines = re.findall(r"^\$ resnexus (.*)$", PAGE, re.MULTILINE)
    assert len(lines) == 4
    for verb, *arguments in map(shlex.split, lines):
        verbs[verb].make_context(verb, arguments)
    for option in re.findall(r"`(--[a-z-]+)", PAGE):
        assert option in {name for parameter in verbs["evaluate"].params for name in parameter.opts}, option


@pytest.mark.slow
def test_the_commands_of_the_page_run(tmp_path, monkeypatch, command):
    """Two epochs of a small network on the digits."""
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    for line in block.splitlines():
        done = command(*shlex.split(line.removeprefix("$ resnexus ")))
        assert done.returncode == 0, done.stderr
    assert {"index.html", "evaluation.json", "predictions.npz"} <= {path.name for path in Path("evaluation").iterdir()}
