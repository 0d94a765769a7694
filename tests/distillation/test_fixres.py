"""A network at other sizes, and its classifier trained at one of them."""

import pytest
import torch

from resnexus import ResnexusError
from resnexus.data.datasets import open_dataset
from resnexus.data.preprocess import Preprocess
from resnexus.distillation.fixres import RECORD, FixRes, fix_resolution
from resnexus.distillation.objectives import objective
from resnexus.evaluation.evaluate import evaluate
from resnexus.models import create_model
from resnexus.records import read_json
from resnexus.weights.checkpoint_file import read_checkpoint, read_record
from tests.distillation.pictured import HERE, ROW, SMALL, folders, teacher

RECIPE = objective("fixres", None, None, SMALL | {"epochs": 2, "lr": 0.5})


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = folders(tmp_path_factory.mktemp("pictures"))
    teacher(place / "own.safetensors")
    return place


def test_the_classifier_alone_learns_another_size(place, tmp_path):
    own = place / "own.safetensors"
    found = fix_resolution(own, place / "labelled", out=tmp_path, recipe=RECIPE, sizes=(8, 12), size=12, **HERE)
    for one in found.sizes:
        splits = open_dataset(place / "labelled", Preprocess(size=one.size, resize_short=one.size))
        expected = evaluate(create_model(ROW, pretrained=own), splits.val)
        assert (one.top1, one.top5, one.images) == (expected.top1, expected.top5, expected.images)
    assert [one.size for one in found.sizes] == [8, 12]
    assert (found.own_size, found.size, found.chosen) == (8, 12, False)
    before, after = read_checkpoint(own), read_checkpoint(tmp_path / "last.safetensors")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"head.weight", "head.bias"}
    record = read_record(tmp_path / "last.safetensors")
    assert (record.preprocess.size, record.recipe["image_size"]) == (12, 12)
    assert record.metrics["top1"] == found.tuned.top1
    assert read_json(FixRes, tmp_path / RECORD) == found


def test_the_best_size_is_chosen_and_that_is_said(place, tmp_path):
    found = fix_resolution(
        place / "own.safetensors", place / "labelled", out=tmp_path, recipe=RECIPE.changed({"epochs": 1}), **HERE
    )
    assert [one.size for one in found.sizes] == [8, 9, 10, 11]
    best = max(one.top1 for one in found.sizes)
    assert found.size == min(one.size for one in found.sizes if one.top1 == best)
    assert found.chosen


def test_what_trains_more_than_the_classifier_is_refused(place, tmp_path):
    for recipe in (RECIPE.changed({"freeze_stages": 1}), objective("distil", "labels")):
        with pytest.raises(ResnexusError, match="leaves more to train than the classifier: set it to 5"):
            fix_resolution(place / "own.safetensors", place / "labelled", out=tmp_path / "run", recipe=recipe, **HERE)
    path = teacher(tmp_path / "silent.safetensors", preprocess=None)
    with pytest.raises(ResnexusError, match="does not say how its images are prepared"):
        fix_resolution(path, place / "labelled", out=tmp_path / "run", recipe=RECIPE, **HERE)
    assert not (tmp_path / "run").exists()
