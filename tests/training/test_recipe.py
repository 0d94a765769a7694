import json
from dataclasses import asdict

import pytest

from resnexus import ResnexusError
from resnexus.training.recipe import SETTINGS, Recipe


def test_a_setting_has_one_name_with_and_without_its_section():
    assert Recipe().changed({"lr": 0.05}) == Recipe().changed({"optim.lr": 0.05})
    assert Recipe().changed({"optim": {"lr": 0.05}}).optim.lr == 0.05
    assert Recipe().changed({"epochs": 3}).epochs == 3
    assert len(SETTINGS) == len(Recipe().flat())


def test_what_differs_from_the_defaults_makes_the_recipe_again():
    recipe = Recipe().changed({"lr": 0.4, "lr_schedule": "step", "lr_milestones": [30, 60], "seed": 5, "clip_norm": 1})
    assert recipe.differences() == {
        "seed": 5,
        "optim": {"lr": 0.4, "clip_norm": 1.0},
        "rate": {"lr_schedule": "step", "lr_milestones": (30, 60)},
    }
    assert Recipe().changed(recipe.differences()) == recipe
    assert Recipe().differences() == {}


def test_a_recipe_survives_json():
    recipe = Recipe().changed({"crop_area": [0.5, 1.0], "betas": [0.8, 0.9], "optimizer": "lamb"})
    assert Recipe().changed(json.loads(json.dumps(recipe.flat()))) == recipe
    assert set(recipe.flat()) == set(SETTINGS)
    assert asdict(recipe)["images"]["crop_area"] == (0.5, 1.0)


def test_the_rate_follows_the_global_batch():
    assert Recipe().scaled_lr == 0.1
    assert Recipe(global_batch_size=64).scaled_lr == 0.025
    assert Recipe().changed({"lr": 0.005, "lr_batch_size": 2048, "global_batch_size": 1024}).scaled_lr == 0.0025


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rat": 0.1}, r"unknown setting of a recipe 'learning_rat'"),
        ({"weight_decy": 0.1}, r"unknown setting of a recipe 'weight_decy': did you mean 'weight_decay'\?"),
        ({"rate.lr": 0.1}, r"setting 'rate.lr': lr is not in 'rate'; write lr or optim.lr"),
        ({"lr": "0.1"}, r'optim: lr: expected a number, found "0.1"'),
        ({"lr": -1}, r"optim: lr=-1.0: expected at least 0"),
        ({"epochs": 1.5}, r"recipe: epochs: expected a whole number, found 1.5"),
        ({"epochs": 0}, r"epochs=0: expected at least 1"),
        ({"lr_schedule": "linear"}, r"rate: .*linear"),
        ({"lr_milestones": [30]}, r"the step schedule needs milestones, the cosine has none"),
        ({"lr_schedule": "step", "lr_milestones": [60, 30]}, r"expected ascending epochs"),
        ({"flip": 1.5}, r"images: flip=1.5: expected at least 0 and at most 1"),
        ({"resize_short": 100}, r"images: resize_short=100: expected at least 224 and at most 4096"),
        ({"warmup_epochs": 200}, r"warmup_epochs=200.0: expected fewer than epochs=200"),
        ({"weight_decay": float("nan")}, r"optim: weight_decay=nan: expected at least 0"),
        ({"lr": float("inf")}, r"optim: lr=inf: expected at least 0"),
        ({"betas": [0.9]}, r"betas=\(0.9,\): expected two numbers"),
        ({"clip_norm": 0}, r"clip_norm=0: expected more than 0, or null"),
        ({"nesterov": True, "momentum": 0}, r"nesterov=True with momentum=0: expected a momentum above 0"),
        (
            {"crop_area": [0.5]},
            r"images: crop_area=\(0.5,\): expected \(smallest, largest\), 0 < smallest <= largest <= 1",
        ),
        ({"crop_area": [0.1, 0.5, 1]}, r"images: crop_area=\(0.1, 0.5, 1.0\): expected \(smallest, largest\)"),
        ({"crop_aspect": [2, 1]}, r"images: crop_aspect=\(2.0, 1.0\): expected \(smallest, largest\)"),
        ({"policy_magnitude": 31}, r"images: policy_magnitude=31: expected a whole number from 0 to 30"),
        ({"distillation": "js"}, r"distil: .*js"),
        ({"temperature": 0}, r"distil: temperature=0.0: expected at least 0.01"),
        ({"distillation_weight": 0}, r"distillation_weight=0: the teacher is then not learned from"),
    ],
)
def test_what_a_recipe_does_not_take(changes, message):
    with pytest.raises(ResnexusError, match=message):
        Recipe().changed(changes)
