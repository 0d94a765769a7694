"""A run that is killed in every step ends with the bytes of one that was left in peace."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from resnexus.records import read_json
from resnexus.report.distillation_page import RECORD
from resnexus.report.distillation_record import DistillationRun
from tests.distillation.pictured import folders
from tests.distillation.test_distillation_run import TEXT

APPEARS, KEPT = "", "/checkpoints/*.ckpt"
"""What is waited for within a step: that it begins, or that its training was kept once, after an epoch of thirty."""
KILLS = (
    ("teacher", KEPT), ("score", APPEARS), ("dedupe", APPEARS), ("mine", APPEARS),
    ("baseline-seed0", APPEARS), ("baseline-seed0", KEPT), ("stage1-seed0", APPEARS), ("stage1-seed0", KEPT),
    ("stage2-seed0", KEPT), ("fixres-seed0", KEPT),
)  # fmt: skip
LONGER = (
    ("seeds: 2", "seeds: 1"),
    ("recipe: {epochs: 2}", "recipe: {epochs: 30}"),
    ("stage1: {epochs: 2}", "stage1: {epochs: 30}"),
    ("stage2: {epochs: 1}", "stage2: {epochs: 30}"),
    ("size: 10, recipe: {epochs: 1}", "size: 10, recipe: {epochs: 30}"),
)


def started(place, log):
    """Start the run in `place / "run"`."""
    command = [
        sys.executable,
        "-m",
        "resnexus",
        "distill",
        "run",
        "own.yaml",
        "--labelled",
        "labelled",
        "--pool",
        "pool",
    ]
    command += ["--out", "run", "--device", "cpu"]
    with log.open("w") as file:
        return subprocess.Popen(
            command, cwd=place, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=file, stderr=subprocess.STDOUT
        )


def pooled(run):
    """What the steps that look at the pool left, but for locks: place -> bytes."""
    paths = [path for step in ("score", "dedupe", "mine") for path in (run / "steps").glob(f"{step}-*/**/*")]
    return {str(path.relative_to(run)): path.read_bytes() for path in paths if path.is_file() and path.name[0] != "."}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_in_every_step(tmp_path):
    place, log, text = folders(tmp_path), tmp_path / "log", TEXT
    for short, long in LONGER:
        assert short in text
        text = text.replace(short, long)
    (place / "own.yaml").write_text(text)
    assert started(place, log).wait() == 0, log.read_text()[-3000:]
    (place / "run").rename(place / "whole")  # both in one place: the records name their files
    kills, within, steps = 0, [], place / "run" / "steps"
    for step, what in KILLS:
        process = started(place, log)
        while not list(steps.glob(f"{step}-*{what}")):
            if process.poll() is not None:
                raise AssertionError(f"{step}{what}: {log.read_text()[-3000:]}")
            time.sleep(0.01)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
        if what == KEPT and not list(steps.glob(f"{step}-*.json")):
            within.append(step)
    assert kills >= len(KILLS) - 1  # the last may have ended by itself
    assert within, "no training was killed between two epochs"
    assert started(place, log).wait() == 0, log.read_text()[-3000:]
    whole, killed = (read_json(DistillationRun, place / name / RECORD) for name in ("whole", "run"))
    assert [[one.top1 for one in stage.results] for stage in whole.stages] == [
        [one.top1 for one in stage.results] for stage in killed.stages
    ]
    for path in ("student.safetensors", "larger.safetensors", *whole.weights.values()):
        assert (place / "whole" / path).read_bytes() == (place / "run" / path).read_bytes(), path
    expected, found = pooled(place / "whole"), pooled(place / "run")
    assert {Path(name).name for name in expected} >= {"cache.json", "pairs.jsonl", "selection.jsonl"}
    assert sorted(found) == sorted(expected)
    assert [name for name in expected if found[name] != expected[name]] == []
