"""A training that is killed again and again ends with the bits of one that was not."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from resnexus.data.datasets import open_dataset
from resnexus.data.shards.writing import write_shards


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two classes of 20 + 4 pictures, as folders and as shards of five."""
    root = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    for part, count in (("train", 20), ("val", 4)):
        for name in ("cat", "dog"):
            (root / "folders" / part / name).mkdir(parents=True)
            for number in range(count):
                noise = random.integers(0, 256, (18, 20, 3), dtype=np.uint8)
                Image.fromarray(noise).save(root / "folders" / part / name / f"{number}.jpg")
    write_shards(open_dataset(root / "folders"), root / "shards", shard_images=5)
    return root


def tortured(data, out, processes, workers, kills=20):
    """Kill trainings; return what the program prints."""
    program = Path(__file__).with_name("torture.py")
    done = subprocess.run(
        [sys.executable, program, data, out, *map(str, (processes, workers, kills))],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def content(folder):
    """What a training left, in parts that can be compared: the formats do not order their fields."""
    names = sorted(path.name for path in folder.iterdir())
    found = {
        "names": names,
        "metrics": (folder / "metrics.csv").read_text(),
        "recipe": (folder / "recipe.json").read_text(),
    }
    for name in ("best", "last"):
        with safe_open(folder / f"{name}.safetensors", "pt") as file:
            found[name] = {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118
    saved = sorted((folder / "checkpoints").iterdir())
    return found | {"checkpoints": [path.name.partition("-")[0] for path in saved], "state": torch.load(saved[-1])}


def differences(one, other, where=""):
    """Name what differs, to the bit."""
    if isinstance(one, torch.Tensor):
        return [] if torch.equal(one, other) else [where]
    if isinstance(one, dict):
        keys = [] if one.keys() == other.keys() else [f"keys of {where}"]
        return keys + [
            found for key in one if key in other for found in differences(one[key], other[key], f"{where}.{key}")
        ]
    if isinstance(one, (list, tuple)) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [found for place, pair in pairs for found in differences(*pair, f"{where}[{place}]")]
    return [] if one == other else [f"{where}: {one} and {other}"]


@pytest.mark.slow
@pytest.mark.timeout(3600)  # on a busy machine, too
@pytest.mark.parametrize("kind", ["folders", "shards"])
@pytest.mark.parametrize(("processes", "workers"), [(1, 0), (1, 2), (2, 0)])
def test_killed_20_times_it_ends_the_same_to_the_bit(data, tmp_path, kind, processes, workers):
    found = tortured(data / kind, tmp_path, processes, workers)
    print(found)  # for who runs it with -s
    assert sum(kills for _, kills in found["folders"]) == 20
    assert found["resumed"] >= 5
    assert found["half"] >= 3  # kills amid the writing of a file
    whole = content(tmp_path / "whole")
    assert whole["checkpoints"] == ["batch000000045" if processes > 1 else "batch000000049", "batch000000050"]
    for folder, _ in found["folders"]:
        assert differences(whole, content(tmp_path / folder)) == []


TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--max-restarts", "3")


def launched(data, out, launcher=TORCHRUN, epochs=30, options=()):
    """Start `resnexus train` in a process of its own, under torchrun in two."""
    settings = [
        "stage_lr_decay=1",
        f"epochs={epochs}",
        "global_batch_size=8",
        "lr=2.0",
        "image_size=16",
        "eval_size=16",
        "resize_short=16",
    ]
    command = ["-m", "resnexus", "train", "--model", "ResNet_small", "--data", data, "--out", out, "--device", "cpu"]
    command += [*options, *(word for setting in settings for word in ("--set", setting))]
    log = out.with_suffix(".log").open("w")
    with log:
        return subprocess.Popen(
            list(map(str, [sys.executable, *launcher, *command])),
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def newest(out):
    """The number of batches in the newest checkpoint, -1 if there is none."""
    return max((int(path.name[5:14]) for path in (out / "checkpoints").glob("batch*.ckpt")), default=-1)


def starts(out):
    """How often the training was started, by the record that it keeps of that."""
    path = out / "starts.json"
    return len(json.loads(path.read_text())) if path.is_file() else 0


def until(reached, process, log):
    """Wait for work to be done, however long that takes."""
    while not reached():
        assert process.poll() is None, log.read_text()[-3000:]
        time.sleep(0.02)


def workers(launcher):
    """The processes of a training that torchrun started, in the order of their ranks."""
    return [int(child) for child in Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("victims", [(1,), (1, 0)], ids=["once", "twice"])
def test_what_torchrun_starts_again_ends_the_same_to_the_bit(data, tmp_path, victims):
    whole, killed = (launched(data / "shards", tmp_path / name) for name in ("whole", "killed"))
    out, log = tmp_path / "killed", tmp_path / "killed.log"
    for number, rank in enumerate(victims, start=1):
        until(lambda number=number: starts(out) == number, killed, log)  # of those before nothing runs any more
        before = newest(out)
        until(lambda before=before: newest(out) > before, killed, log)  # each kill after a checkpoint of its own
        os.kill(workers(killed.pid)[rank], signal.SIGKILL)
    for process, name in ((whole, "whole"), (killed, "killed")):
        assert process.wait() == 0, (tmp_path / f"{name}.log").read_text()[-3000:]
    assert log.read_text().count("exitcode: -9") == len(victims)
    assert starts(out) == 1 + len(victims)
    assert differences(content(tmp_path / "whole"), content(out)) == []


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "devices", [pytest.param("1", marks=pytest.mark.thorough), pytest.param("2", marks=pytest.mark.slow)]
)
def test_sigterm_keeps_the_training_and_ends_the_command_with_143(data, tmp_path, devices):
    out, log = tmp_path / "asked", tmp_path / "asked.log"
    asked = launched(data / "folders", out, launcher=(), epochs=1000, options=("--devices", devices))
    until(lambda: newest(out) >= 5, asked, log)  # the first epoch's end
    others = workers(asked.pid)
    before = newest(out)
    asked.send_signal(signal.SIGTERM)
    assert asked.wait() == 143, log.read_text()[-3000:]
    assert f"stopped and kept; the same command goes on from here: {out}" in log.read_text()
    assert before <= newest(out) < 5000
    assert len(others) == int(devices) - 1
    for other in others:
        while Path(f"/proc/{other}").exists():
            time.sleep(0.02)
