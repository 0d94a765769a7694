"""Trainings at a time: their processes end with what started them, and what they keep is what one process keeps."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from resnexus import ResnexusError, compare
from resnexus.comparison import processes
from resnexus.comparison.each import each_run
from resnexus.comparison.processes import at_a_time
from resnexus.comparison.settings import Settings
from resnexus.comparison.stopwatch import Timing
from resnexus.progress import Silent
from resnexus.training.stopping import Stopped


@pytest.fixture(autouse=True)
def _little_is_imported(monkeypatch):
    monkeypatch.setattr(processes, "_PRELOADED", ["resnexus.comparison.processes"])


@dataclass(frozen=True)
class Fake:
    """A job that leaves a file."""

    name: str
    shown_images: int = 7

    @property
    def title(self) -> str:
        return f"the {self.name}"


def leave(job, out, progress, label):
    """Train a fake job: tell some images, do as its name says, and leave the process's number in a file."""
    with progress.stage(f"training {label}", 5) as advance:  # two images were shown before an interruption
        for _ in range(5):
            advance()
    with progress.stage(f"evaluating {label}", 100) as advance:
        advance(100)
    if job.name == "wrong":
        raise ResnexusError("it cannot be read")
    if job.name == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    (out / f"{job.name}.pid").write_text(str(os.getpid()))
    while job.name.startswith("endless"):
        time.sleep(0.01)
    (out / job.name).write_text(f"{os.getpid()} {torch.get_num_threads()}")


def left(job, out):
    path = out / job.name
    return path.read_text().split() if path.is_file() else None


def run(names, out, progress, count=2):
    return list(each_run(map(Fake, names), out, progress, finished=left, train=leave, processes=count))


def is_there(process):
    """Whether a process runs; one that ended, but was not waited for, does not."""
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def test_each_has_a_process_of_its_own_with_one_thread(tmp_path, recorded):
    (tmp_path / "before").write_text(f"{os.getpid()} 2")
    found = run(["one", "before", "two", "three"], tmp_path, recorded)
    assert [job.name for job, _ in found] == ["one", "before", "two", "three"]
    numbers = {int(process) for job, (process, _) in found if job.name != "before"}
    assert len(numbers) == 3
    assert os.getpid() not in numbers
    assert {threads for job, (_, threads) in found if job.name != "before"} == {"1"}
    ((title, total, steps),) = recorded.stages
    assert (title, total, sum(steps)) == ("training 3 networks, 2 at a time, images", 21, 21)
    trained = sorted(text.partition(":")[0] for text in recorded.said[:-1])
    assert trained == ["the one", "the three", "the two"]
    assert recorded.said[-2].endswith(": trained (3 of 3)")
    assert recorded.said[-1] == "the before: finished before, kept"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wrong", "it cannot be read"),
        ("killed", "the process of the training of the killed ended with -9; if memory is short, start again"),
    ],
)
def test_what_ends_one_ends_all_and_says_which_go_on(tmp_path, name, message):
    with pytest.raises(ResnexusError, match=message) as caught:
        run(["endless", name, "never"], tmp_path, Silent())
    assert caught.value.__notes__ == [f"the trainings of the endless; the {name} go on after their last whole epochs"]
    assert not any(is_there(path.read_text()) for path in tmp_path.glob("*.pid"))
    assert not (tmp_path / "never").exists()


@pytest.mark.thorough  # a process of its own
def test_a_process_that_is_killed_takes_its_trainings_along(tmp_path):
    program = (
        "from pathlib import Path; from tests.comparison.test_each import run; from resnexus.progress import Silent;"
        f"run(['endless one', 'endless two'], Path({str(tmp_path)!r}), Silent())"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=Path(__file__).parents[2]) as process:
        try:
            while len(list(tmp_path.glob("*.pid"))) < 2 and process.poll() is None:
                time.sleep(0.02)
        finally:
            process.kill()
    trainings = [path.read_text() for path in tmp_path.glob("*.pid")]
    assert len(trainings) == 2
    while any(map(is_there, trainings)):  # or the test's own limit of time
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("asked", "embedded", "threads", "device", "found"),
    [
        (None, True, 2, "cpu", 2),
        (None, True, 64, "cpu", 8),
        (None, True, 2, "cuda", 1),
        (None, False, 2, "cpu", 1),
        (3, False, 2, "cuda", 3),
    ],
)
def test_embedded_data_take_a_process_for_each_thread(monkeypatch, asked, embedded, threads, device, found):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: device == "cuda")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    assert at_a_time(asked, embedded=embedded) == found


@pytest.mark.parametrize("asked", [0, -1, 1.5, True])
def test_a_number_of_processes_is_a_whole_one(asked):
    with pytest.raises(ResnexusError, match=f"processes={asked}: expected a whole number of at least 1"):
        at_a_time(asked, embedded=True)


@pytest.mark.thorough
def test_two_at_a_time_learn_what_one_after_the_other_does(rows, tmp_path):
    options = {"models": rows, "seeds": 2, "settings": Settings(epochs=1), "series": "none"}
    options["timing"] = Timing(batch_sizes=(1,), precisions=("fp32",), rounds=1)
    alone, shared = (compare("digits", out=tmp_path / str(count), processes=count, **options) for count in (1, 2))
    for one, other in zip(alone.networks, shared.networks, strict=True):
        assert [run.top1 for run in one.runs] == [run.top1 for run in other.runs]
    assert (alone.settings["trainings_at_a_time"], shared.settings["trainings_at_a_time"]) == (1, 2)
    weights = [{path.name: path.read_bytes() for path in (tmp_path / name / "weights").iterdir()} for name in "12"]
    assert weights[0] == weights[1]
    assert len(weights[0]) == 4
    assert not (tmp_path / "2" / "unfinished").exists()


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("asked", "code", "said"),
    [(signal.SIGINT, 130, "interrupted; what was finished is kept; the trainings of "), (signal.SIGTERM, 143, "")],
)
def test_a_command_that_is_asked_to_end_keeps_its_trainings(tmp_path, asked, code, said):
    command = [
        sys.executable,
        "-m",
        "resnexus",
        "compare",
        "--processes",
        "2",
        "--models",
        "ResNet_small,Res2Net_small",
    ]
    command += ["--epochs", "200", "--seeds", "1", "--series", "none", "--out", str(tmp_path)]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    ) as process:
        try:
            while len(list(tmp_path.glob("unfinished/*/checkpoints/*.ckpt"))) < 2 and process.poll() is None:
                time.sleep(0.05)
            process.send_signal(asked)
            _, errors = process.communicate()
        finally:
            process.kill()
    assert process.returncode == code
    assert "Traceback" not in errors
    assert said in errors.splitlines()[-1]
    assert len(list(tmp_path.glob("unfinished/*/checkpoints/*.ckpt"))) >= 2
    assert not list(tmp_path.glob("runs/*"))


def test_stopped_says_so_itself(tmp_path, monkeypatch):
    def stop(connections):
        raise Stopped(tmp_path)

    monkeypatch.setattr(processes, "wait", stop)
    with pytest.raises(Stopped) as caught:
        run(["endless one", "endless two"], tmp_path, Silent())
    assert not hasattr(caught.value, "__notes__")
