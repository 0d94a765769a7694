"""The two stages of a student, on noise: who is learned from, and whose labels count."""

import json

import pytest
import torch

import resnexus
from resnexus import ResnexusError
from resnexus.distillation.objectives import objective
from resnexus.distillation.pictures import Listed
from resnexus.distillation.score import ScoreSettings, score
from resnexus.distillation.stages import architecture_of, finetune, train_student
from resnexus.training.saving import Saving
from resnexus.training.stopping import Stopped
from resnexus.weights.checkpoint_file import read_checkpoint, read_record, sha256
from resnexus.weights.state_digest import state_sha256
from tests.distillation.pictured import CLASSES, HERE, ROW, SMALL, Anybodys, folders, teacher
from tests.sampled import sampled

PLAIN = SMALL | {"crop_area": [1, 1], "crop_aspect": [1, 1], "flip": 0, "mixup_alpha": 0}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = folders(tmp_path_factory.mktemp("pictures"))
    path = teacher(place / "teacher.safetensors")
    score(Listed([str(place / "pool")]), str(path), place / "cache", ScoreSettings(views=2))
    return place


def student(place, out, pool="pool", changes=None, **options):
    loss, weight = options.pop("loss", None), options.pop("label_weight", None)
    recipe = objective("distil", loss, weight, SMALL | (changes or {}))
    return train_student(place / pool, ROW, out=out, recipe=recipe, **HERE, **options)


def weights(out):
    return read_checkpoint(out / "last.safetensors")


def test_a_student_of_a_teacher_says_so_and_is_evaluated(place, tmp_path, recorded):
    file = place / "teacher.safetensors"
    done = student(place, tmp_path, teacher=file, labelled=place / "labelled", progress=recorded)
    record = read_record(tmp_path / "last.safetensors")
    assert (record.teacher, record.teacher_sha256, record.classes) == (str(file), sha256(file), CLASSES)
    assert record.recipe["label_weight"] == 0
    assert done.outcome.rows[0]["images"] == 4
    assert "14 pictures to learn from; 8 have labels, which do not count" in recorded.said
    # The very teacher is in no state that is kept.
    (saved,) = (tmp_path / "checkpoints").iterdir()
    kept = torch.load(saved)
    assert set(kept["state_dict"]) == {f"network.{name}" for name in weights(tmp_path)}


def test_without_labelled_pictures_the_last_weights_are_kept(place, tmp_path):
    done = student(place, tmp_path, teacher=place / "teacher.safetensors")
    assert "top1" not in done.outcome.rows[0]
    record = read_record(tmp_path / "last.safetensors")
    assert record.classes == CLASSES
    assert set(record.metrics) == {"epoch"}
    assert not (tmp_path / "best.safetensors").exists()


@pytest.mark.parametrize("pool", sampled(["pool", "cache"], ["cache"]))
def test_labels_count_only_where_they_are_given_a_weight(place, tmp_path, pool):
    """With the labels exchanged the student of a teacher is the same to the bit, and the one of labels is not."""
    swapped = tmp_path / "swapped"
    for part in ("train", "val"):
        (swapped / part).mkdir(parents=True)
        for name, other in (("cat", "dog"), ("dog", "cat")):
            (swapped / part / name).symlink_to(place / "labelled" / part / other)
    asked = place / "teacher.safetensors" if pool == "pool" else None
    found = {}
    for weight in (0.0, 1.0):
        for data in (place / "labelled", swapped):
            out = tmp_path / f"{weight}-{data.name}"
            if weight and pool == "cache":
                continue
            changes = PLAIN | {"global_batch_size": 14}
            student(place, out, pool, changes, teacher=asked, labelled=data, label_weight=weight)
            found[weight, data.name] = weights(out)
    # The order of the labelled pictures is exchanged with the labels: sums over the batch may round otherwise.
    plain, other = found[0.0, "labelled"], found[0.0, "swapped"]
    assert all(torch.allclose(plain[name], other[name], atol=1e-5) for name in plain)
    if pool == "pool":
        assert not torch.allclose(
            found[1.0, "labelled"]["head.weight"], found[1.0, "swapped"]["head.weight"], atol=1e-4
        )


def test_replayed_views_are_learned_as_the_formula_says(place, tmp_path):
    """One batch of the whole cache: the loss is the mean of KL(kept answer || own) over the first views."""
    from resnexus.distillation.cache import open_cache
    from resnexus.distillation.replay import ReplayedImages

    cache = open_cache(place / "cache")
    images = [ReplayedImages(cache, range(len(cache)), CLASSES)[index] for index in range(6)]
    torch.manual_seed(0)
    network = resnexus.create_model(ROW, num_classes=2)
    own = network(torch.stack([item.image for item in images])).log_softmax(1).detach()
    kept = torch.stack([item.answer for item in images])
    expected = float((kept * (kept.log() - own)).sum(1).mean())
    done = student(place, tmp_path, "cache", {"global_batch_size": 6, "mixup_alpha": 0})
    assert done.outcome.rows[0]["train_loss"] == pytest.approx(expected, rel=1e-5)
    assert json.loads((tmp_path / "recipe.json").read_text())["views"] == 2
    record = read_record(tmp_path / "last.safetensors")
    assert record.teacher_sha256 == sha256(place / "teacher.safetensors")


def test_labels_of_pictures_that_were_scored_are_found_by_their_place(place, tmp_path, recorded):
    pictures = Listed([str(place / "pool"), str(place / "labelled" / "train")])
    score(pictures, str(place / "teacher.safetensors"), tmp_path / "cache", ScoreSettings(views=2))
    changes = {"global_batch_size": 7}
    train_student(
        tmp_path / "cache", ROW, out=tmp_path / "run", recipe=objective("distil", None, 1.0, SMALL | changes),
        labelled=place / "labelled", progress=recorded, **HERE,
    )  # fmt: skip
    assert "14 pictures to learn from; 8 have labels, which count 1 times" in recorded.said


def test_only_what_was_mined(place, tmp_path, recorded):
    from resnexus.distillation.cache import open_cache
    from resnexus.distillation.mining import mine

    cache = open_cache(place / "cache")
    mined = mine(cache, tmp_path / "selection.jsonl", per_class=2, min_confidence=0.0)
    options = {"selection": tmp_path / "selection.jsonl", "teacher": place / "teacher.safetensors"}
    student(place, tmp_path / "run", changes={"global_batch_size": 2}, progress=recorded, **options)
    assert f"{mined.selected} pictures to learn from; 0 have labels, which do not count" in recorded.said
    (place / "pool" / "0.png").rename(tmp_path / "0.png")
    try:
        if "0.png" in (tmp_path / "selection.jsonl").read_text():
            with pytest.raises(ResnexusError, match=r"names .*0.png, which is not in the pool or cannot be read"):
                student(place, tmp_path / "other", **options)
    finally:
        (tmp_path / "0.png").rename(place / "pool" / "0.png")


@pytest.mark.parametrize("pool", sampled(["pool", "cache"], ["cache"]))
def test_it_goes_on_to_the_bit(place, tmp_path, monkeypatch, pool):
    options = {"teacher": place / "teacher.safetensors"} if pool == "pool" else {}
    changes = {"epochs": 3, "global_batch_size": 2, "mixup_alpha": 0.5, "ema_decay": 0.5}
    student(place, tmp_path / "whole", pool, changes, **options)
    for stop in (2, 3, None):
        monkeypatch.setattr(
            Saving, "_stops", lambda self, trainer, _, stop=stop: trainer.lightning_module.batches == stop
        )
        try:
            student(place, tmp_path / "parts", pool, changes, **options)
        except Stopped:
            assert stop is not None
    whole, parts = (weights(tmp_path / name) for name in ("whole", "parts"))
    assert [name for name in whole if not torch.equal(whole[name], parts[name])] == []


def test_the_second_stage_starts_where_the_first_ended(place, tmp_path):
    file = place / "teacher.safetensors"
    first = tmp_path / "first"
    student(place, first, teacher=file)
    still = objective("distil-finetune", None, None, SMALL | {"lr": 0.0, "weight_decay": 0.0})
    done = finetune(
        first / "last.safetensors", place / "labelled", out=tmp_path / "still", recipe=still, teacher=file, **HERE
    )
    before, after = weights(first), weights(tmp_path / "still")
    assert all(torch.equal(before[name], after[name]) for name in before if "running" not in name and "num" not in name)
    assert done.outcome.rows[0]["images"] == 4
    assert read_record(tmp_path / "still" / "last.safetensors").source == f"trained from {first / 'last.safetensors'}"
    assert architecture_of(tmp_path / "still" / "last.safetensors") == ROW
    # By labels, without a teacher.
    labels = objective("distil-finetune", "labels", None, SMALL)
    finetune(first / "last.safetensors", place / "labelled", out=tmp_path / "labels", recipe=labels, **HERE)
    assert read_record(tmp_path / "labels" / "last.safetensors").teacher is None


def test_modules_are_taught_and_teach_as_networks_do(place, tmp_path):
    """The same weights, once by name and file and once as modules: the same student to the bit."""
    file, labelled = place / "teacher.safetensors", place / "labelled"
    student(place, tmp_path / "named", teacher=file, labelled=labelled)
    asked = Anybodys(resnexus.create_model(ROW, pretrained=file))
    torch.manual_seed(0)
    network = Anybodys(resnexus.create_model(ROW, num_classes=2))
    start = state_sha256(network)
    recipe = objective("distil", changes=SMALL)
    train_student(
        place / "pool", network, out=tmp_path / "own", recipe=recipe, teacher=asked, labelled=labelled, **HERE
    )
    named, own = weights(tmp_path / "named"), weights(tmp_path / "own")
    assert all(torch.equal(own[f"inner.{name}"], named[name]) for name in named)
    assert all(torch.equal(own[name], value) for name, value in network.state_dict().items())
    record = read_record(tmp_path / "own" / "last.safetensors")
    assert (record.architecture, record.classes) == (None, CLASSES)
    assert (record.teacher, record.teacher_sha256) == ("module Anybodys", state_sha256(asked))
    assert json.loads((tmp_path / "own" / "recipe.json").read_text())["weights"] == start
    finetune(network, labelled, out=tmp_path / "second", recipe=objective("distil-finetune", changes=SMALL),
             teacher=asked, **HERE)  # fmt: skip
    # What was trained is in evaluation mode, and was set to training for the second stage.
    before, after = (
        own["inner.stem.0.norm.running_mean"],
        weights(tmp_path / "second")["inner.stem.0.norm.running_mean"],
    )
    assert not torch.equal(before, after)
    with pytest.raises(ResnexusError, match="holds a training with weights="):
        train_student(place / "pool", network, out=tmp_path / "own", recipe=recipe, teacher=asked, labelled=labelled,
                      **HERE)  # fmt: skip


@pytest.mark.parametrize("who", ["student", "teacher"])
def test_a_module_of_other_classes_is_refused(place, tmp_path, who):
    networks = {name: Anybodys(resnexus.create_model(ROW, num_classes=2)) for name in ("student", "teacher")}
    networks[who] = Anybodys(resnexus.create_model(ROW, num_classes=5))
    with pytest.raises(ResnexusError, match="module Anybodys tells 5 classes apart, and the data have 2: give"):
        train_student(
            place / "pool", networks["student"], out=tmp_path / "run", recipe=objective("distil", changes=SMALL),
            teacher=networks["teacher"], labelled=place / "labelled", **HERE,
        )  # fmt: skip
    assert not (tmp_path / "run").exists()


def test_a_module_brings_its_own_weights(place, tmp_path):
    network = Anybodys(resnexus.create_model(ROW, num_classes=2))
    with pytest.raises(ResnexusError, match=r"weights=.*teacher.safetensors' has no effect on module Anybodys"):
        train_student(
            place / "pool", network, out=tmp_path / "run", recipe=objective("distil", changes=SMALL), teacher=network,
            labelled=place / "labelled", weights=place / "teacher.safetensors", **HERE,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "no teacher: name one with teacher= "),
        ({"teacher": "T", "loss": "labels"}, "a teacher has no effect|learns from a teacher|distillation"),
        ({"teacher": "T", "label_weight": 0.5}, "label_weight=0.5 has no effect: no picture has a label"),
        (
            {"teacher": "T", "label_weight": 0.5, "labelled": "L", "changes": {"loss": "binary_cross_entropy"}},
            "loss='binary_cross_entropy' asks every picture for its label",
        ),
        ({"teacher": "T", "labelled": "digits"}, "labelled='digits': its images are in memory"),
        ({"pool": "cache", "loss": "published"}, "teacher_statistics='batch': answers that were kept"),
        ({"teacher": "T", "loss": "js"}, "unknown loss 'js'"),
    ],
)
def test_a_mistake_is_told_before_the_first_step(place, tmp_path, options, message):
    known = {"T": place / "teacher.safetensors", "L": place / "labelled"}
    options = {name: known.get(value, value) if isinstance(value, str) else value for name, value in options.items()}
    with pytest.raises(ResnexusError, match=message):
        student(place, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()
