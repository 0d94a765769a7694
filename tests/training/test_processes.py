"""Two processes that share every batch train as one process does."""

import json
import os
import subprocess
import sys

import pytest
import torch

from resnexus import ResnexusError
from resnexus.training.processes import rank, spread

TORCHRUN = {"RANK": "5", "LOCAL_RANK": "1", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4", "TORCHELASTIC_RUN_ID": "none"}
LIGHTNING = {"LOCAL_RANK": "1", "NODE_RANK": "0", "WORLD_SIZE": "2"}


@pytest.fixture
def told(monkeypatch):
    """Let the environment say this of processes, and nothing else."""

    def tell(names):
        for name in (*TORCHRUN, "NODE_RANK", "SLURM_STEP_NUM_TASKS"):
            monkeypatch.delenv(name, raising=False)
        for name, value in names.items():
            monkeypatch.setenv(name, value)

    return tell


@pytest.mark.parametrize(
    ("names", "devices", "expected"),
    [
        ({}, 1, (0, 1, 1)),
        ({}, 2, (0, 2, 1)),
        (TORCHRUN, 1, (5, 4, 2)),
        (TORCHRUN | {"SLURM_STEP_NUM_TASKS": "2"}, 1, (5, 4, 2)),
        (TORCHRUN | {"RANK": "4", "LOCAL_RANK": "0"}, 1, (4, 4, 2)),
        (LIGHTNING, 2, (1, 2, 1)),
        (LIGHTNING | {"LOCAL_RANK": "0"}, 2, (0, 2, 1)),
        ({"RANK": "0", "WORLD_SIZE": "1"}, 1, (0, 1, 1)),
        ({"SLURM_NTASKS": "8", "SLURM_PROCID": "0"}, 2, (0, 2, 1)),
    ],
)
def test_which_of_the_processes_this_one_is(told, names, devices, expected):
    told(names)
    assert (rank(devices), *spread(devices)) == expected


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            {"RANK": "1", "WORLD_SIZE": "4", "MASTER_ADDR": "pod-0"},
            "WORLD_SIZE=4 without LOCAL_RANK and LOCAL_WORLD_SIZE and TORCHELASTIC_RUN_ID: .*one torchrun on every",
        ),
        ({"SLURM_STEP_NUM_TASKS": "8", "SLURM_PROCID": "3"}, "SLURM_STEP_NUM_TASKS=8 without RANK"),
        (LIGHTNING | {"WORLD_SIZE": "4"}, "WORLD_SIZE=4 without RANK"),
    ],
)
def test_one_of_several_that_cannot_know_which_is_refused(told, names, message):
    told(names)
    for asked in (rank, spread):
        with pytest.raises(ResnexusError, match=message):
            asked(2)


PROGRAM = """
import os, sys, torch
from pathlib import Path
import resnexus
from resnexus.data.datasets import open_dataset
from resnexus.data.labelled import ImageArrays
from resnexus.training.recipe import Recipe
from resnexus.training.train import train

out, steps, taught, frozen = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "True", int(sys.argv[4])
data = open_dataset("digits")
def part(images, count):
    labels = images.labels.numpy()[:count]
    return ImageArrays(images.pixels[:count], labels, data.classes, preprocess=data.preprocess)
row = resnexus.Architecture(
    name="t", block="bottleneck", depths=(1,), width=4, groups=2, out_width=16, stem="small", stem_width=8
)
torch.manual_seed(0)
network, teacher = (resnexus.create_model(row, num_classes=10, in_chans=1) for _ in range(2))
recipe = Recipe().changed(
    {"epochs": steps // 4, "global_batch_size": 16, "sync_batch_norm": True, "label_smoothing": 0.1, "lr": 1.0,
     "freeze_stages": frozen}
)
if taught:
    recipe = recipe.changed({"distillation": "symmetric_kl", "teacher_statistics": "batch"})
outcome = train(
    network, part(data.train, 64), part(data.val, 31), recipe, out, device="cpu",
    teacher=teacher if taught else None,
)
torch.save({"weights": network.state_dict(), "rows": outcome.rows}, out / f"result{os.environ.get('RANK', 0)}.pt")
"""


def run(out, processes, steps, taught, frozen=0):
    program = out.parent / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, program, out, steps, taught, frozen]
    if processes > 1:
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        command[1:1] = launcher
    done = subprocess.run(
        list(map(str, command)), env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return torch.load(out / "result0.pt")


@pytest.mark.slow
@pytest.mark.timeout(1800)  # on a busy machine, too
@pytest.mark.parametrize(("taught", "frozen"), [(False, 0), (True, 0), (False, 1)])
def test_two_processes_equal_one_after_20_steps(tmp_path, taught, frozen):
    alone = run(tmp_path / "one", 1, 20, taught, frozen)
    shared = run(tmp_path / "two", 2, 20, taught, frozen)
    for name, value in alone["weights"].items():
        assert torch.allclose(value.double(), shared["weights"][name].double(), rtol=1e-5, atol=1e-5), name
    assert [row["images"] for row in shared["rows"]] == [31] * 5
    for one, other in zip(alone["rows"], shared["rows"], strict=True):
        assert one["top1"] == pytest.approx(other["top1"], abs=1.5 / 31)
    other = torch.load(tmp_path / "two" / "result1.pt")
    assert all(torch.equal(value, shared["weights"][name]) for name, value in other["weights"].items())


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_command_starts_two_processes_and_goes_on_with_two_alone(tmp_path):
    command = [sys.executable, "-m", "resnexus", "train", "--model", "ResNet_small", "--device", "cpu"]
    command += ["--out", str(tmp_path / "run"), "--set", "epochs=1", "--set", "warmup_epochs=0"]
    command += ["--set", "global_batch_size=128", "--set", "stage_lr_decay=1"]

    def done(devices):
        clean = {name: value for name, value in os.environ.items() if name not in (*TORCHRUN, "NODE_RANK")}
        return subprocess.run(
            [*command, "--devices", devices],
            env=clean | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )

    first, again, alone = done("2"), done("2"), done("1")
    assert first.returncode == 0, first.stderr[-3000:]
    assert again.returncode == 0, again.stderr[-3000:]
    assert first.stdout.count("best: ") == 1  # one of the two speaks
    (row,) = (tmp_path / "run" / "metrics.csv").read_text().splitlines()[1:]
    assert row.split(",")[1] == "12"  # 1,438 images in batches of 128, the rest of 30 shared too
    assert len(json.loads((tmp_path / "run" / "starts.json").read_text())) == 3
    assert alone.returncode == 2
    assert "holds a training with processes=2, not 1" in alone.stderr
