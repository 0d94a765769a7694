"""A run that is killed in every step ends with the bytes of one that was left in peace."""

import os
import signal
import subprocess
import sys
import time

import pytest

from resnexus.records import read_json
from resnexus.report.distillation_page import RECORD
from resnexus.report.distillation_record import DistillationRun
from tests.distillation.pictured import folders
from tests.distillation.test_distillation_run import TEXT

STEPS = ("teacher", "score", "dedupe", "mine", "baseline-seed0", "stage1-seed0", "stage2-seed0", "fixres-seed0")


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


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_in_every_step(tmp_path):
    place, log = folders(tmp_path), tmp_path / "log"
    (place / "own.yaml").write_text(TEXT.replace("seeds: 2", "seeds: 1"))
    assert started(place, log).wait() == 0, log.read_text()[-3000:]
    (place / "run").rename(place / "whole")  # both in one place: the records name their files
    kills = 0
    for step in STEPS:
        process = started(place, log)
        while not list((place / "run" / "steps").glob(f"{step}-*")):
            if process.poll() is not None:
                raise AssertionError(log.read_text()[-3000:])
            time.sleep(0.01)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills >= len(STEPS) - 1  # the last may have ended by itself
    assert started(place, log).wait() == 0, log.read_text()[-3000:]
    whole, killed = (read_json(DistillationRun, place / name / RECORD) for name in ("whole", "run"))
    assert [[one.top1 for one in stage.results] for stage in whole.stages] == [
        [one.top1 for one in stage.results] for stage in killed.stages
    ]
    for path in ("student.safetensors", *whole.weights.values()):
        assert (place / "whole" / path).read_bytes() == (place / "run" / path).read_bytes(), path
