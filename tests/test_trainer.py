"""`resnexus.train` with a teacher: from its name to the record of what learned from it."""

import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import resnexus
from resnexus import ResnexusError, trainer
from resnexus.claim import claimed
from resnexus.data.preprocess import Preprocess
from resnexus.training.preparation import open_data
from resnexus.training.recipe import Recipe
from resnexus.weights.checkpoint_file import CheckpointRecord, read_record, sha256, write_checkpoint

ROW = resnexus.Architecture(name="t", block="bottleneck", depths=(1,), width=4, out_width=8, stem="small", stem_width=8)
SMALL = {"epochs": 1, "global_batch_size": 4, "image_size": 8, "eval_size": 8, "resize_short": 8, "warmup_epochs": 0}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for part, count in (("train", 4), ("val", 1)):
        for name in ("cat", "dog"):
            (folder / part / name).mkdir(parents=True)
            for number in range(count):
                noise = random.integers(0, 256, (10, 10, 3), dtype=np.uint8)
                Image.fromarray(noise).save(folder / part / name / f"{number}.png")
    return folder


def teacher(path, *, num_classes=2, in_chans=3, seed=1, **known):
    torch.manual_seed(seed)
    network = resnexus.create_model(ROW, num_classes=num_classes, in_chans=in_chans)
    write_checkpoint(network.state_dict(), path, CheckpointRecord(architecture=ROW, **known))
    return path


def test_what_learned_from_a_teacher_says_so(pictures, tmp_path):
    path, other = teacher(tmp_path / "teacher.safetensors"), teacher(tmp_path / "other.safetensors", seed=2)
    arguments = {"recipe": "Res2Net50_vd_26w_4s_ssld", "changes": SMALL, "device": "cpu", "out": tmp_path / "run"}
    resnexus.train(ROW, pictures, teacher=path, **arguments)
    record = read_record(tmp_path / "run" / "last.safetensors")
    assert (record.teacher, record.teacher_sha256) == (str(path), sha256(path))
    assert record.recipe["distillation"] == "symmetric_kl"
    assert json.loads((tmp_path / "run" / "recipe.json").read_text())["teacher"] == sha256(path)
    # The same command goes on, under whatever name the teacher has; with another teacher it does not.
    resnexus.train(ROW, pictures, teacher=path.rename(tmp_path / "moved.safetensors"), **arguments)
    with pytest.raises(ResnexusError, match=r"holds a training with teacher='\w+', not"):
        resnexus.train(ROW, pictures, teacher=other, **arguments)


def test_data_under_another_path_are_other_images_and_that_is_said(pictures, tmp_path, monkeypatch):
    arguments = {"changes": SMALL | {"stage_lr_decay": 1}, "device": "cpu", "out": tmp_path / "run"}
    resnexus.train(ROW, pictures, **arguments)
    monkeypatch.chdir(pictures.parent)
    with pytest.raises(ResnexusError, match=r"train_images='\w+', not '\w+' \(known by the paths of the files, as the"):
        resnexus.train(ROW, pictures.name, **arguments)


def test_labels_play_no_part_in_the_published_distillation(pictures, tmp_path):
    """With the labels exchanged the weights are the same, to the rounding of sums over a batch in another order."""
    swapped = tmp_path / "swapped"
    for part in ("train", "val"):
        (swapped / part).mkdir(parents=True)
        for name, other in (("cat", "dog"), ("dog", "cat")):
            (swapped / part / name).symlink_to(pictures / part / other)
    path = teacher(tmp_path / "teacher.safetensors")
    changes = SMALL | {"global_batch_size": 8, "lr": 3.0, "crop_area": [1, 1], "crop_aspect": [1, 1], "flip": 0}
    for name, data in (("plain", pictures), ("swapped", swapped)):
        resnexus.train(
            ROW, data, out=tmp_path / name, recipe="Res2Net50_vd_26w_4s_ssld", teacher=path, changes=changes,
            device="cpu",
        )  # fmt: skip
    plain, other = (
        resnexus.create_model(ROW, pretrained=tmp_path / name / "last.safetensors") for name in ("plain", "swapped")
    )
    torch.manual_seed(0)
    drawn = resnexus.create_model(ROW, num_classes=2).head.weight
    assert torch.allclose(plain.head.weight, other.head.weight, atol=1e-6)
    assert not torch.allclose(plain.head.weight, drawn, atol=1e-3)


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({"num_classes": 3}, "tells 3 classes apart, and the data have 2: give one that was trained on these classes"),
        ({"classes": ("dog", "cat")}, "has the same classes in another order"),
        ({"in_chans": 1}, "takes images of 1 channels, and the data have 3"),
        (
            {"preprocess": Preprocess(size=8, resize_short=8, std=(0.5, 0.5, 0.5))},
            r"was trained on images normalised by mean=\(0.485, 0.456, 0.406\), std=\(0.5, 0.5, 0.5\)",
        ),
    ],
)
def test_a_teacher_of_something_else(pictures, tmp_path, known, message):
    path = teacher(tmp_path / "teacher.safetensors", **known)
    with pytest.raises(ResnexusError, match=f"teacher .*teacher.safetensors {message}"):
        resnexus.train(ROW, pictures, out=tmp_path / "run", recipe="usi", teacher=path, changes=SMALL)
    assert not (tmp_path / "run").exists()


def test_lightning_that_is_missing_is_told_before_there_is_a_folder(pictures, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lightning", None)
    with pytest.raises(ResnexusError, match=r"lightning is not installed: pip install 'resnexus\[train\]'"):
        resnexus.train(ROW, pictures, out=tmp_path / "run", changes=SMALL | {"stage_lr_decay": 1})
    assert not (tmp_path / "run").exists()


def test_the_weights_of_a_module_are_not_drawn_anew(pictures, tmp_path):
    network = resnexus.create_model(ROW, num_classes=2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    recipe = Recipe().changed(SMALL | {"zero_init_residual": True})
    data = open_data(pictures, recipe)
    with pytest.raises(ResnexusError, match="zero_init_residual=True is for random weights, and module Network brings"):
        trainer.train_on(network, data.train, data.val, recipe, preprocess=data.preprocess, out=tmp_path / "run")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_random_is_the_word_for_weights_that_are_left_out(pictures, tmp_path):
    arguments = {"changes": SMALL | {"stage_lr_decay": 1}, "device": "cpu", "out": tmp_path / "run"}
    done = resnexus.train(ROW, pictures, weights="random", **arguments)
    assert json.loads((tmp_path / "run" / "recipe.json").read_text())["weights"] is None
    assert read_record(tmp_path / "run" / "last.safetensors").source is None
    # The same training: left out, it goes on, and nothing is left to do.
    again = resnexus.train(ROW, pictures, **arguments)
    assert [row["epoch"] for row in again.outcome.rows] == [row["epoch"] for row in done.outcome.rows] == [1]


def test_random_is_no_word_for_a_module_which_brings_its_own(pictures, tmp_path):
    network, recipe = resnexus.create_model(ROW, num_classes=2), Recipe().changed(SMALL)
    data = open_data(pictures, recipe)
    with pytest.raises(ResnexusError, match="weights='random' has no effect on module Network: load them into it"):
        trainer.train_on(
            network, data.train, data.val, recipe, preprocess=data.preprocess, out=tmp_path / "run", weights="random"
        )


@pytest.mark.parametrize("rank", [0, 1])
def test_the_first_of_all_processes_holds_the_folder(tmp_path, rank):
    with claimed(tmp_path, busy="another process trains in"):
        if rank == 0:
            with pytest.raises(ResnexusError, match="another process trains in"), trainer._held(tmp_path, rank):
                pass
        else:
            with trainer._held(tmp_path, rank):
                pass
    assert not (tmp_path / "starts.json").exists()
