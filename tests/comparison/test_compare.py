"""The main job, end to end on small data: results, resuming, interruptions and bad images."""

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from resnexus import ResnexusError, compare, complexity
from resnexus.cli.application import app
from resnexus.comparison import compare as module
from resnexus.comparison import runs
from resnexus.comparison.kept import Finished
from resnexus.comparison.settings import Settings
from resnexus.comparison.stopwatch import Timing
from resnexus.records import read_json
from resnexus.report.document import is_report
from resnexus.report.record import Comparison
from resnexus.training import module as module_of_training
from resnexus.training.stopping import Stopped
from resnexus.weights.checkpoint_file import read_checkpoint, sha256

TIMING = Timing(batch_sizes=(1, 2), precisions=("fp32",), rounds=1)


@pytest.fixture
def run(folder, rows, tmp_path):
    """Compare the small networks on the small pictures, once, in `tmp_path / "out"`."""

    def start(**changes):
        options = {
            "data": folder,
            "out": tmp_path / "out",
            "models": rows,
            "image_size": 16,
            "seeds": 2,
            "settings": Settings(epochs=1),
            "timing": TIMING,
            "series": "none",
        } | changes
        return compare(options.pop("data"), **options)

    return start


@pytest.fixture
def unwritten(monkeypatch):
    """Leave the report out and what lies beside it, and gather the comparisons that it would be about."""
    seen = []
    monkeypatch.setattr(module, "write_report", lambda comparison, out: seen.append(comparison))
    monkeypatch.setattr(module, "keep_best", lambda networks, jobs, out: networks[0])
    return seen


@pytest.fixture
def trained(monkeypatch):
    """Gather the jobs that are trained, as (network, seed)."""
    done = []

    def recorded(job, *arguments):
        done.append((job.row.name, job.seed))
        return train(job, *arguments)

    train = module.train
    monkeypatch.setattr(module, "train", recorded)
    return done


def files(out):
    return {str(path.relative_to(out)) for path in Path(out).rglob("*") if path.is_file()}


def kept(out):
    """Return the (network, seed) whose weights and record are kept."""
    records = [path.stem for path in (out / "runs").iterdir()]
    assert sorted(records) == sorted(path.stem for path in (out / "weights").iterdir())
    return sorted((name.split("-seed")[0], int(name.split("-")[1].removeprefix("seed"))) for name in records)


EVERYTHING = [("plain", 0), ("split", 0), ("plain", 1), ("split", 1)]


def test_results_are_complete_and_can_be_read_back(rows, tmp_path):
    settings = Settings(epochs=1)
    result = compare("digits", out=tmp_path, models=rows, seeds=2, settings=settings, timing=TIMING, series="none")
    assert read_json(Comparison, tmp_path / "results.json") == result
    assert [network.name for network in result.networks] == ["plain", "split"]
    assert (result.train_images, result.val_images, result.classes) == (1438, 359, 10)
    assert result.chance == pytest.approx(37 / 359)
    for network, row in zip(result.networks, rows, strict=True):
        cost = complexity(row, 8, num_classes=10, in_chans=1)
        assert (network.gflops, network.mparams) == (cost.gflops, cost.mparams)
        assert [run.seed for run in network.runs] == [0, 1]
        assert network.runs[0].top1 != network.runs[1].top1
        for run in network.runs:
            assert 0.1 < run.top1 <= run.top5 <= 1
            assert run.images == 359
    assert [(cell.model, cell.batch_size, cell.engine) for cell in result.latency] == [
        (name, size, "eager") for size in (1, 2) for name in ("plain", "split")
    ]
    assert {"index.html", "results.json"} <= files(tmp_path)
    assert kept(tmp_path) == sorted(EVERYTHING)
    best = max(result.networks, key=lambda network: network.mean_top1)
    (first,) = (tmp_path / "weights").glob(f"{best.name}-seed0-*")
    assert sha256(tmp_path / "best.safetensors") == sha256(first)
    assert len(list((tmp_path / "examples").iterdir())) == 10


def test_a_finished_training_is_not_done_again(run, unwritten, trained):
    run()
    assert trained == EVERYTHING
    run()
    assert trained == EVERYTHING
    assert unwritten[0].networks == unwritten[1].networks


@pytest.mark.parametrize(
    ("change", "again"),
    [
        pytest.param({"settings": Settings(epochs=1, mixup=0)}, EVERYTHING, marks=pytest.mark.thorough),
        pytest.param({"image_size": 18}, EVERYTHING, marks=pytest.mark.thorough),
        ({"seeds": 3}, [("plain", 2), ("split", 2)]),
    ],
)
def test_another_job_is_trained_and_replaces_none(run, unwritten, trained, tmp_path, change, again):
    run()
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    trained.clear()
    run(**change)
    assert trained == again
    assert all(path.read_bytes() == content for path, content in before.items())
    trained.clear()
    run()
    assert trained == []
    assert unwritten[2].networks == unwritten[0].networks


def test_an_interruption_keeps_what_was_finished_and_says_what_is_lost(run, unwritten, trained, tmp_path, monkeypatch):
    def interrupted(job, *arguments):
        if len(trained) == 2:
            raise KeyboardInterrupt
        return train(job, *arguments)

    train = module.train
    monkeypatch.setattr(module, "train", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        run()
    assert caught.value.__notes__ == ["the training of plain, seed 1 goes on after its last whole epoch"]
    assert kept(tmp_path / "out") == [("plain", 0), ("split", 0)]
    monkeypatch.setattr(module, "train", train)
    run()
    assert trained == EVERYTHING
    assert [len(network.runs) for network in unwritten[0].networks] == [2, 2]


COMMAND = [sys.executable, "-c", "from resnexus.cli import main; main()", "compare", "--series", "none"]
SMALL = ["--models", "ResNet_small", "--epochs", "1", "--precisions", "fp32", "--batch-sizes", "1"]
ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1"}  # more of them wait for each other beside busy processes


def started(out, seeds, **options):
    command = [*COMMAND, *SMALL, "--out", str(out), "--seeds", str(seeds)]
    return subprocess.Popen(command, env=ONE_THREAD, stderr=subprocess.PIPE, text=True, **options)


@pytest.mark.thorough  # a process of its own, which trains
def test_ctrl_c_leaves_whole_files_and_says_so(tmp_path):
    with started(tmp_path, seeds=60) as process:
        try:
            while not list(tmp_path.glob("unfinished/ResNet_small-seed[1-9]*")) and process.poll() is None:
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)  # somewhere in the second training, or a later one
            _, errors = process.communicate()
        finally:
            process.kill()
    assert process.returncode == 130
    *_, last = errors.splitlines()
    assert last.startswith("interrupted; what was finished is kept; the training of ResNet_small, seed ")
    assert last.endswith(" goes on after its last whole epoch")
    assert "Traceback" not in errors
    runs = [read_json(Finished, path).run.seed for path in (tmp_path / "runs").iterdir()]
    weights = [read_checkpoint(path) for path in (tmp_path / "weights").iterdir()]
    assert 1 <= len(runs) <= len(weights) <= len(runs) + 1 < 60  # weights are written first
    assert files(tmp_path) >= {f"runs/{path.name}" for path in (tmp_path / "runs").iterdir()}
    assert not list(tmp_path.rglob("*.new"))


@pytest.mark.slow  # a process after every kill
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("at_a_time", [1, 2])
def test_killed_at_any_moment_it_goes_on(folder, rows, tmp_path, at_a_time):
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["resnexus.comparison.compare", "resnexus.training.train", "vl_convert"])
    options = {"models": rows, "image_size": 16, "seeds": 2, "timing": TIMING, "series": "none"}
    options["processes"] = at_a_time

    def start(out):
        process = processes.Process(
            target=compare, args=(folder,), kwargs=options | {"out": out, "settings": Settings(epochs=2)}
        )
        process.start()
        return process

    def top1(out):
        networks = read_json(Comparison, out / "results.json").networks
        return {(network.name, run.seed): run.top1 for network in networks for run in network.runs}

    start(tmp_path / "first").join()  # the server of processes imports what they need
    whole = time.monotonic()
    start(tmp_path / "whole").join()
    whole = time.monotonic() - whole  # only the moments depend on it
    moments, out, killed = random.Random(0), tmp_path / "out", 0
    while killed < 65:
        process = start(out)
        process.join(moments.uniform(0, whole))
        process.kill()
        process.join()
        killed += process.exitcode == -signal.SIGKILL
        for path in (out / "runs").glob("*.json") if (out / "runs").exists() else ():
            record = read_json(Finished, path)
            assert record.weights_sha256 == sha256(out / "weights" / f"{path.stem}.safetensors")
            read_checkpoint(out / "weights" / f"{path.stem}.safetensors")
        if (out / "index.html").exists():
            assert is_report(out / "index.html")
            assert top1(out) == top1(tmp_path / "whole")
            shutil.rmtree(out)
    last = start(out)
    last.join()
    assert last.exitcode == 0
    assert top1(out) == top1(tmp_path / "whole")
    assert kept(out) == sorted(EVERYTHING)
    assert not (out / "unfinished").exists()


def test_sigterm_in_an_evaluation_ends_it_and_the_next_run_trains_no_more(run, unwritten, monkeypatch, tmp_path):
    steps = []
    with monkeypatch.context() as patch:
        patch.setattr(runs, "evaluate", lambda *_, **__: signal.raise_signal(signal.SIGTERM))
        with pytest.raises(Stopped, match=str(tmp_path / "out")):
            run(seeds=1)
    loss = module_of_training.Classifier.loss
    monkeypatch.setattr(module_of_training.Classifier, "loss", lambda self, *a: steps.append(self) or loss(self, *a))
    run(seeds=1)
    assert kept(tmp_path / "out") == [("plain", 0), ("split", 0)]
    assert len(set(steps)) == 1  # the second network alone: the first was trained when the signal came


def test_what_a_killed_process_went_on_from_is_removed(run, unwritten, trained, tmp_path):
    run()
    (job,) = {path.stem for path in (tmp_path / "out" / "runs").glob("plain-seed1-*")}
    left = tmp_path / "out" / "unfinished" / job
    left.mkdir(parents=True)
    run()
    assert not left.parent.exists()
    assert trained == EVERYTHING


def test_images_that_cannot_be_read_are_on_the_page(run, folder, tmp_path):
    broken = folder / "val" / "red" / "0.jpg"
    broken.write_bytes(broken.read_bytes()[:400])
    (folder / "train" / "green" / "1.jpg").write_text("not an image")
    (folder / "train" / "red" / "2.jpg").unlink()
    (folder / "train" / "red" / "2.jpg").symlink_to("nowhere.jpg")
    (folder / "train" / "red" / "note.heic").write_text("no picture that we read")
    settings = Settings(epochs=1, allow_bad_images=True)
    result = run(seeds=1, settings=settings)
    for network in result.networks:
        (of_one,) = network.runs
        assert of_one.images == 7
        assert [text.partition(": ")[0] for text in of_one.skipped] == [str(broken)]
        assert [text.partition(": ")[0] for text in of_one.skipped_in_training] == [
            f"{folder}/train/green/1.jpg",
            f"{folder}/train/red/2.jpg",
        ]
    assert result.ignored == (f"{folder}/train/red/note.heic",)
    page = (tmp_path / "out" / "index.html").read_text()
    assert "1 validation image could not be read." in page
    assert "2 training images could not be read." in page
    assert "1 file among the images was ignored" in page


def test_a_broken_training_image_stops_the_training_unless_allowed(run, folder):
    (folder / "train" / "green" / "1.jpg").write_text("not an image")
    with pytest.raises(ResnexusError, match=r"training image .*green/1.jpg: .*allow bad images"):
        run()


def test_each_thing_is_said_once(run, unwritten, folder, recorded):
    broken = folder / "val" / "red" / "0.jpg"
    broken.write_bytes(broken.read_bytes()[:400])
    for name in ("a.heic", "b.HEIC", "c"):
        (folder / "train" / "red" / name).write_text("no picture")
    run(progress=recorded)
    assert recorded.said[0].startswith("ignored 2 .heic, 1 without suffix; images are in class folders and end in ")
    assert [text.partition(": ")[0] for text in recorded.said[1:]].count("skipped in evaluation") == 1
    run(progress=recorded)
    assert "split, seed 1: finished before, kept" in recorded.said
    titles = [title for title, *_ in recorded.stages]
    assert titles[:2] == ["training plain, seed 0 (1 of 4), images", "evaluating plain, seed 0 (1 of 4)"]
    assert titles[-1] == "writing the report"


def nothing_trained(monkeypatch):
    monkeypatch.setattr(module, "train", lambda *_: pytest.fail("trained before everything was checked"))


def test_everything_is_checked_before_the_first_step(run, rows, folder, tmp_path, monkeypatch):
    nothing_trained(monkeypatch)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "index.html").write_text("my own page")
    with pytest.raises(ResnexusError, match="is no report of ours"):
        run()
    with pytest.raises(ResnexusError, match=r"cannot read .*gone.json"):
        run(series=tmp_path / "gone.json")
    with pytest.raises(ResnexusError, match="unknown series mode 'some'"):
        run(series="some")
    with pytest.raises(ResnexusError, match=r"gone.safetensors"):
        run(out=tmp_path / "other", weights=str(tmp_path / "gone.safetensors"))
    with pytest.raises(ResnexusError, match=r"has no published weights|unknown"):
        run(out=tmp_path / "other", weights="imagenet")
    (folder / "train" / "red" / "0.jpg").unlink()
    (folder / "train" / "red" / "0.jpg").symlink_to("nowhere.jpg")
    with pytest.raises(ResnexusError, match=r"red/0.jpg: a link to nowhere.jpg, which is missing"):
        run()


def test_names_that_are_not_unicode_end_nothing(run, folder, tmp_path):
    odd = os.fsencode(folder.parent) + b"/\xff\x1b"
    os.rename(folder, odd)
    for part in ("train", "val"):
        os.rename(odd + f"/{part}/red".encode(), odd + f"/{part}/".encode() + b"r\xe9d")
    Path(os.fsdecode(odd + b"/train/r\xe9d/0.jpg")).write_text("not an image")
    settings = Settings(epochs=1, allow_bad_images=True)
    result = run(data=os.fsdecode(odd), seeds=1, settings=settings, timing=replace(TIMING, batch_sizes=(1,)))
    assert result.data == "\\udcff\\x1b"
    assert "train/r\\udce9d/0.jpg" in (tmp_path / "out" / "index.html").read_text()
    assert read_json(Comparison, tmp_path / "out" / "results.json") == result


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("nowhere", r"data '.*nowhere': no folder with train/ and val/ is there"),
        ("empty", r"empty"),
        ("one", r"one class"),
    ],
)
def test_data_that_cannot_be_compared(run, tmp_path, data, message):
    (tmp_path / "empty" / "train").mkdir(parents=True)
    (tmp_path / "empty" / "val").mkdir()
    for part in ("train", "val"):
        (tmp_path / "one" / part / "only").mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "one" / part / "only" / "a.png")
    with pytest.raises(ResnexusError, match=message):
        run(data=tmp_path / data)
    assert not (tmp_path / "out").exists()


def test_how_a_folder_was_divided_is_on_the_page(run, folder, tmp_path, recorded):
    for path in (folder / "val").glob("*/*.jpg"):
        path.rename(folder / "train" / path.parent.name / f"other-{path.name}")
    result = run(data=folder / "train", progress=recorded)
    assert (result.train_images, result.val_images) == (16, 4)
    assert result.split
    assert result.split in recorded.said
    assert result.split in (tmp_path / "out" / "index.html").read_text()
    assert {run.images for network in result.networks for run in network.runs} == {4}


def test_json_for_machines(tmp_path, folder):
    options = ["--data", str(folder), "--out", str(tmp_path / "out"), "--json", "--image-size", "5", "--series", "none"]
    done = CliRunner().invoke(app, ["compare", *SMALL, *options, "--seeds", "1"], catch_exceptions=False)
    content = json.loads(done.stdout)
    assert content["networks"][0]["name"] == "ResNet_small"
    assert content["networks"][0]["image_size"] == 5
    assert content == json.loads((tmp_path / "out" / "results.json").read_text())


class Asked(Exception):
    """What is asked for is known, and nothing is to be trained."""


def test_random_is_the_word_for_weights_that_are_left_out(run, monkeypatch):
    def trainings(data, *, weights, **options):
        raise Asked(weights)

    monkeypatch.setattr(module, "trainings", trainings)
    for weights, wanted in (("random", None), (None, None), ("imagenet", "imagenet")):
        with pytest.raises(Asked) as asked:
            run(weights=weights)
        assert asked.value.args == (wanted,)
