"""Two processes that share every batch of replayed views train as one process does."""

import os
import subprocess
import sys

import pytest
import torch

import resnexus
from resnexus.data.augment import Augment
from resnexus.distillation.pictures import Listed
from resnexus.distillation.score import ScoreSettings, score
from resnexus.weights.checkpoint_file import read_checkpoint
from tests.distillation.pictured import ROW, folders, teacher

PROGRAM = """
import sys
from pathlib import Path
from resnexus.distillation.objectives import objective
from resnexus.distillation.stages import train_student
from tests.distillation.pictured import HERE, ROW, SMALL

place, out = map(Path, sys.argv[1:])
# Who is mixed with whom is drawn for every process.
changes = {"epochs": 6, "global_batch_size": 8, "mixup_alpha": 0, "sync_batch_norm": True, "lr": 0.2}
recipe = objective("distil", "kl", None, SMALL | changes)
train_student(place / "cache", ROW, out=out, recipe=recipe, labelled=place / "labelled", **HERE)
"""


def run(place, out, processes):
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"] if processes == 2 else []
    (place / "program.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, *launcher, place / "program.py", place, out],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return read_checkpoint(out / "last.safetensors"), (out / "metrics.csv").read_text()


@pytest.mark.slow
@pytest.mark.timeout(1800)  # on a busy machine, too
def test_two_processes_equal_one_after_18_steps(tmp_path):
    place = folders(tmp_path, pool=22)  # three batches an epoch, the last one smaller
    path = teacher(place / "teacher.safetensors")
    settings = ScoreSettings(views=4, augment=Augment(crop_area=(0.3, 1.0)), shard_pictures=5)
    score(Listed([str(place / "pool")]), str(path), place / "cache", settings)
    (alone, rows), (shared, other) = (run(place, place / f"of{processes}", processes) for processes in (1, 2))
    torch.manual_seed(0)
    drawn = resnexus.create_model(ROW, num_classes=2).state_dict()
    assert not torch.allclose(alone["head.weight"], drawn["head.weight"], atol=0.02)
    for name, value in alone.items():
        assert torch.allclose(value.double(), shared[name].double(), rtol=1e-5, atol=1e-5), name
    assert len(rows.splitlines()) == len(other.splitlines()) == 7
