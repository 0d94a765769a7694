"""Every recipe trains: two steps of a small network on a few pictures."""

import csv
import math

import numpy as np
import pytest
import torch
from PIL import Image

import resnexus
from resnexus.series.recipes import find_recipe, recipes
from resnexus.training.saving import Saving
from resnexus.training.stopping import Stopped
from resnexus.weights.checkpoint_file import CheckpointRecord, write_checkpoint

ROW = resnexus.Architecture(
    name="t", block="bottleneck", depths=(1, 1), width=4, out_width=8, stem="small", stem_width=8, se_reduction=2
)
SMALL = {"global_batch_size": 4, "image_size": 16, "eval_size": 16, "resize_short": 18, "workers": 0}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for part, count in (("train", 4), ("val", 1)):
        for name in ("a", "b"):
            (folder / part / name).mkdir(parents=True)
            for number in range(count):
                Image.fromarray(random.integers(0, 256, (24, 20, 3), dtype=np.uint8)).save(
                    folder / part / name / f"{number}.png"
                )
    return folder


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    network = resnexus.create_model(ROW, num_classes=2)
    write_checkpoint(network.state_dict(), path, CheckpointRecord(architecture=ROW))
    return path


@pytest.mark.slow  # half a second each
@pytest.mark.parametrize("name", recipes())
def test_two_steps(name, pictures, teacher, tmp_path, monkeypatch):
    monkeypatch.setattr(Saving, "_stops", lambda self, trainer, _: trainer.lightning_module.batches == 2)
    with pytest.raises(Stopped):
        resnexus.train(
            ROW,
            pictures,
            out=tmp_path,
            recipe=name,
            teacher=None if find_recipe(name).distil.distillation == "none" else teacher,
            changes=SMALL,
            device="cpu",
        )
    (row,) = csv.DictReader((tmp_path / "metrics.csv").read_text().splitlines())
    assert row["batches"] == "2"
    assert 0 < float(row["train_loss"]) < math.inf
    assert 0 < float(row["lr"]) <= find_recipe(name).changed(SMALL).scaled_lr
    torch.manual_seed(find_recipe(name).seed)
    drawn = resnexus.create_model(ROW, num_classes=2).state_dict()
    trained = resnexus.create_model(ROW, pretrained=tmp_path / "last.safetensors").state_dict()
    changed = [entry for entry, value in drawn.items() if not torch.equal(value, trained[entry])]
    stem = set() if find_recipe(name).optim.freeze_stages else {"stem.0.norm.running_mean"}
    assert {"head.bias"} | stem <= set(changed)
