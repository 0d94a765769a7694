"""`resnexus predict` and `resnexus manifest` as a user types them."""

import csv
import io
import json
import os
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image

from resnexus import Architecture
from resnexus.cli.application import app
from resnexus.data.error_codes import ErrorCode
from resnexus.data.preprocess import Preprocess
from resnexus.weights.checkpoint_file import CheckpointRecord, sha256, write_checkpoint


@pytest.fixture(scope="module")
def work(tmp_path_factory, random_network):
    """Three pictures, a page that is called one, and a network of two classes, one with a dangerous name."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "photos").mkdir()
    random = np.random.default_rng(1)
    for number in range(3):
        Image.fromarray(random.integers(0, 256, (9, 11, 3), dtype=np.uint8)).save(folder / f"photos/{number}.png")
    (folder / "photos" / "notes.txt").touch()
    (folder / "page.jpg").write_text("<html>")
    row = Architecture(name="own", block="basic", depths=(1,), width=8, out_width=8, stem="small", stem_width=8)
    record = CheckpointRecord(architecture=row, classes=("cat", "=dog"), preprocess=Preprocess(size=8, resize_short=8))
    write_checkpoint(random_network(row, num_classes=2).float().state_dict(), folder / "own.safetensors", record)
    return folder


@pytest.fixture
def here(work, monkeypatch):
    monkeypatch.chdir(work)
    return work


OWN = ("--model", "own.safetensors", "--workers", "0")


def test_pictures_become_records(here, command):
    done = command("predict", "photos", "page.jpg", "nowhere.png", *OWN, "--out", "out/a.jsonl")
    assert done.returncode == 3
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[0] == "passed over 1 file in the folders: no images by their names, or links to folders"
    assert re.fullmatch(
        r"5 records in [\d.]+ s, [\d.,]+ images/s; 2 without an answer \(1 not_found, 1 unknown_format\); "
        r"wrote out/a\.jsonl, out/a\.run\.json",
        lines[-1],
    )
    records = [json.loads(line) for line in Path("out/a.jsonl").read_text().splitlines()]
    assert [record["filename"] for record in records] == [
        *(f"photos/{number}.png" for number in range(3)),
        *("page.jpg", "nowhere.png"),
    ]
    assert [record["error"] for record in records] == [None, None, None, "unknown_format", "not_found"]
    assert {tuple(sorted(record["label_names"])) for record in records[:3]} == {("=dog", "cat")}
    run = json.loads(Path("out/a.run.json").read_text())
    assert run["model"]["weights"] == sha256(Path("own.safetensors"))
    assert (run["images"], run["errors"]) == (5, {"not_found": 1, "unknown_format": 1})
    assert run["command"].startswith("resnexus predict photos page.jpg")


def test_all_answered_is_exit_code_0(here, command):
    done = command("predict", "photos/*.png", *OWN, "--out", "b.csv", "--topk", "1", "--json")
    assert done.returncode == 0
    assert done.stderr == ""
    assert json.loads(done.stdout)["images"] == 3
    with open("b.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["id", "filename", "error", "class_id_1", "score_1", "label_name_1"]
    assert {row["label_name_1"] for row in rows} <= {"cat", "'=dog"}


def test_a_list_on_standard_input_and_records_on_standard_output(here, command, monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(b"photos/2.png\nphotos/0.png\n"))
    monkeypatch.setattr(sys, "stdin", stream)
    done = command("predict", "-", *OWN, "--out", "-", "--embeddings")
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(record["id"], record["filename"]) for record in records] == [(0, "photos/2.png"), (1, "photos/0.png")]
    assert [len(record["embedding"]) for record in records] == [8, 8]


def test_heat_maps(here, command):
    done = command("predict", "photos", *OWN, "--out", "c.jsonl", "--heatmap", "heat")
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1].endswith("wrote c.jsonl, c.run.json, heat/index.html")
    assert sorted(os.listdir("heat")) == [*(f"{number:09d}.jpg" for number in range(3)), "index.html"]


def test_random_weights_are_said(here, command):
    done = command(
        *("predict", "photos/0.png", "--model", "ResNet_small", "--weights", "random", "--workers", "0"),
        *("--out", "d.jsonl"),
    )
    assert done.returncode == 0, done.stderr
    assert "ResNet_small: the weights are random: the answers mean nothing" in done.stderr
    assert json.loads(Path("d.run.json").read_text())["model"]["weights"] == "random"


def test_a_manifest_is_predicted_and_verified(here, command):
    pytest.importorskip("pyarrow")
    done = command("manifest", "photos", "--out", "list", "--shard-images", "2")
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"3 images, 0\.0 MB, in 2 shards; list\n", done.stdout)
    bulk = ("predict", "--manifest", "list", "--out", "many", *OWN)
    done = command(*bulk, "--processes", "1")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "3 records in 2 files, one for every image of the manifest; 0 without an answer\n"
    again = command(*bulk, "--processes", "1", "--json")
    assert json.loads(again.stdout) == {"images": 3, "errors": 0, "shards": 2}
    assert command("predict", "--manifest", "list", "--out", "many", "--verify").stdout == done.stdout
    os.remove("many/predictions-000001.parquet")
    done = command("predict", "--manifest", "list", "--out", "many", "--verify")
    assert (done.returncode, "predictions-000001.parquet is missing" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["photos"], "error: which network? Give --model"),
        ([*OWN], "error: give either inputs or --manifest"),
        (["photos", "--manifest", "list", *OWN], "error: give either inputs or --manifest"),
        (["photos", *OWN, "--out", "a.txt"], "error: unknown kind of file 'a.txt'"),
        (["photos", *OWN, "--out", "-", "--json"], "error: --json and --out - would both print"),
        (["photos", "-", *OWN], "error: - is the only input"),
        (["photos", *OWN, "--on", "ray"], "error: --on and --processes have no effect without --manifest"),
        (["--manifest", "list", *OWN], "error: with --manifest, give --out FOLDER and no --heatmap"),
        (["--verify"], "error: --verify compares two folders"),
        (["photos", "--verify"], "error: inputs has no effect with --verify: leave it out"),
        (["--verify", *OWN], "error: --model has no effect with --verify: leave it out"),
        (
            ["photos", *OWN, "--out", "s3://bucket/a.jsonl"],
            "error: s3://bucket/a.jsonl is an address: what is predicted",
        ),
        (["photos", *OWN, "--heatmap", "gs://bucket/heat"], "error: gs://bucket/heat is an address: what is predicted"),
        (
            ["page.jpg", "photos", *OWN, "--heatmap", "photos/heat"],
            "error: photos/heat lies in photos, whose pictures are the inputs",
        ),
        (
            ["--manifest", "s3://bucket/list", *OWN, "--out", "many"],
            "s3://bucket/list is an address: a manifest is read",
        ),
        (["photos", *OWN, "--topk", "0"], "error: topk=0: expected a whole number"),
        (["photos", "--model", "ResNeXt50_32x4", "--weights", "random"], "did you mean 'ResNeXt50_32x4d'?"),
        (["*.webp", *OWN], "error: *.webp: the pattern finds nothing"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(here, command, arguments, message):
    done = command("predict", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not Path("photos/heat").exists()


def test_nothing_is_written_to_a_folder_that_is_called_as_a_bucket(here, command):
    pytest.importorskip("pyarrow")
    done = command("manifest", "photos", "--out", "s3://bucket/list")
    assert done.returncode == 2
    assert "s3://bucket/list is an address: a manifest is written to this machine" in done.stderr
    assert command("manifest", "photos", "--out", "whole").returncode == 0
    done = command("predict", "--manifest", "whole", "--out", "s3://bucket/answers", *OWN)
    assert done.returncode == 2
    assert "s3://bucket/answers is an address: what is predicted is written to this machine" in done.stderr
    assert not Path("s3:").exists()


PAGE = Path(__file__).parents[2] / "docs" / "predict.md"


def test_the_page_names_every_code_and_only_options_that_there_are():
    text = PAGE.read_text(encoding="utf-8")
    for code in ErrorCode:
        assert f"| `{code.value}` | {code.meaning} |" in text
    verbs = typer.main.get_command(app).commands
    there = {
        name
        for verb in ("predict", "manifest")
        for item in verbs[verb].params
        for name in (*item.opts, *item.secondary_opts)
    }
    for option in re.findall(r"`(--[a-z-]+)", text):
        assert option in there, option


CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_OWN = re.compile(r"^predicting.*\n|\d+\.\d+(e-\d+)?", re.MULTILINE)
"""What is the machine's own: how fast it was, and last digits."""


@pytest.mark.thorough
def test_the_page_shows_what_is_printed(tmp_path, monkeypatch, command):
    """RESNEXUS_WRITE_DOCS=1 writes the page anew."""
    pytest.importorskip("pyarrow")
    pytest.importorskip("pebble")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    ramp = np.arange(48, dtype=np.uint8)
    for name, turn in (("dawn", 2), ("dusk", 5)):
        pixels = np.stack([ramp[:, None] * turn + ramp, ramp[:, None] + ramp * turn, ramp[:, None] * 0 + ramp], axis=2)
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "photos" / f"{name}.png")
    (tmp_path / "photos" / "page.jpg").write_text("<html>")
    page = PAGE.read_text(encoding="utf-8")

    def executed(match):
        lines = [line[2:] for line in match[1].splitlines() if line.startswith("$ ")]
        return "```console\n" + "".join(f"$ {line}\n{printed(line)}" for line in lines) + "```"

    def printed(line):
        name, *arguments = shlex.split(line)
        assert name == "resnexus", line
        return command(*arguments, merged=True).stdout

    written = CONSOLE.sub(executed, page)
    if os.environ.get("RESNEXUS_WRITE_DOCS"):
        PAGE.write_text(written, encoding="utf-8")
        page = written
    assert _OWN.sub("", written) == _OWN.sub("", page)
