"""Two processes that share every batch train as one process does."""

import os
import subprocess
import sys

import pytest
import torch

PROGRAM = """
import os, sys, torch
from pathlib import Path
import resnexus
from resnexus.data.datasets import open_dataset
from resnexus.data.labelled import ImageArrays
from resnexus.training.recipe import Recipe
from resnexus.training.train import train

out, steps, taught = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "True"
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
    {"epochs": steps // 4, "global_batch_size": 16, "sync_batch_norm": True, "label_smoothing": 0.1, "lr": 1.0}
)
if taught:
    recipe = recipe.changed({"distillation": "symmetric_kl", "teacher_statistics": "batch"})
outcome = train(
    network, part(data.train, 64), part(data.val, 31), recipe, out, accelerator="cpu",
    teacher=teacher if taught else None,
)
torch.save({"weights": network.state_dict(), "rows": outcome.rows}, out / f"result{os.environ.get('RANK', 0)}.pt")
"""


def run(out, processes, steps, taught):
    program = out.parent / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, program, out, str(steps), str(taught)]
    if processes > 1:
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        command = [sys.executable, *launcher, program, out, str(steps), str(taught)]
    done = subprocess.run(
        list(map(str, command)), env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return torch.load(out / "result0.pt")


@pytest.mark.slow
@pytest.mark.timeout(1800)  # on a busy machine, too
@pytest.mark.parametrize("taught", [False, True])
def test_two_processes_equal_one_after_20_steps(tmp_path, taught):
    alone = run(tmp_path / "one", 1, 20, taught)
    shared = run(tmp_path / "two", 2, 20, taught)
    for name, value in alone["weights"].items():
        assert torch.allclose(value.double(), shared["weights"][name].double(), rtol=1e-5, atol=1e-5), name
    assert [row["images"] for row in shared["rows"]] == [31] * 5
    for one, other in zip(alone["rows"], shared["rows"], strict=True):
        assert one["top1"] == pytest.approx(other["top1"], abs=1.5 / 31)
    other = torch.load(tmp_path / "two" / "result1.pt")
    assert all(torch.equal(value, shared["weights"][name]) for name, value in other["weights"].items())
