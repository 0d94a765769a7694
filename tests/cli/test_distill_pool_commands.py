"""`resnexus distill score`, `dedupe` and `mine` as a user types them."""

import json

import pytest

from tests.assessment.conftest import network  # noqa: F401
from tests.distillation.conftest import pool_folder, weights  # noqa: F401  # fixtures

VIEWS = ("--views", "2", "--batch-size", "6", "--processes", "1")


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    return tmp_path_factory.mktemp("scored") / "cache"


def test_the_steps_of_a_pool(command, pool_folder, weights, scored, tmp_path):  # noqa: F811
    done = command("distill", "score", pool_folder, "--teacher", weights, "--out", scored, *VIEWS, "--set", "flip=0")
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "10 pictures, 2 views of each, the first 3 of 3 classes; 2 could not be read (1 damaged, 1 empty); wrote "
        f"{scored}\n"
    )
    assert "passed over 1 file in the folders" in done.stderr
    assert json.loads((scored / "cache.json").read_text())["augment"]["flip"] == 0

    selection = tmp_path / "selection.jsonl"
    done = command("distill", "mine", scored, "--out", selection, "--per-class", "100", "--min-confidence", "0")
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith("8 of 10 pictures, of ")
    assert first.endswith(f"left out: 2 unreadable; wrote {selection}")
    assert second.startswith("fewer than 100: ")
    assert len(selection.read_text().splitlines()) == 8

    pytest.importorskip("imagehash")
    duplicates = tmp_path / "duplicates.jsonl"
    own = ("--against", pool_folder / "0.png", "--against", pool_folder / "1.png", "--workers", "0")
    done = command("distill", "dedupe", scored, *own, "--out", duplicates)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("2 of 10 pictures of the pool are copies of one of 2; ")
    assert done.stdout.endswith(f"wrote {duplicates}, {duplicates.with_suffix('.html')}\n")
    mining = ("--per-class", "100", "--min-confidence", "0", "--duplicates", duplicates, "--json")
    done = command("distill", "mine", scored, "--out", selection, *mining)
    content = json.loads(done.stdout)
    assert (content["copies"], content["selected"], content["duplicates"]) == (2, 6, str(duplicates))


def test_a_list_on_standard_input(command, pool_folder, weights, tmp_path, monkeypatch):  # noqa: F811
    import io
    import sys

    text = f"{pool_folder / '0.png'}\n{pool_folder / '1.png'}\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    done = command("distill", "score", "-", "--teacher", weights, "--out", tmp_path / "out", *VIEWS, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["pictures"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("score", "--teacher", "x"), "give either a pool of pictures or --manifest FOLDER"),
        (("score", "-", "a", "--teacher", "x"), "- is the only input"),
        (("score", "a", "--teacher", "x", "--views", "1"), "views=1: one view of each picture"),
        (("score", "a", "--teacher", "x", "--set", "flop=1"), "unknown field of Augment 'flop': did you mean 'flip'?"),
        (("score", "a", "--teacher", "x", "--set", "flip"), "expected NAME=VALUE"),
        (("score", "a", "--teacher", "x", "--processes", "1"), "unknown architecture 'x'"),
    ],
)
def test_mistakes_are_told_at_once(command, tmp_path, arguments, message):
    done = command("distill", *arguments, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert message in done.stderr


def test_every_step_explains_every_option(command):
    for step in ("score", "dedupe", "mine"):
        done = command("distill", step, "--help")
        assert done.returncode == 0
        options = [line for line in done.stdout.splitlines() if line.lstrip().startswith("--")]
        assert len(options) >= 5
