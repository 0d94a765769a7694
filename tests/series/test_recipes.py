"""The recipes that ship say what was published; the table is PaddleClas's."""

import json

import numpy as np
import pytest
from torchvision.transforms import v2

from resnexus import ResnexusError
from resnexus.data.policies import changed
from resnexus.series.checkpoints import checkpoints
from resnexus.series.recipes import find_recipe, parse_changes, parse_recipe, recipes
from resnexus.training.preparation import preparation
from resnexus.training.recipe import Recipe
from resnexus.training.sections import Distil

STEP_DECAY = {
    "ResNeXt50_32x4d": 1e-4,
    "ResNeXt50_64x4d": 1e-4,
    "ResNeXt101_32x4d": 1e-4,
    "ResNeXt101_64x4d": 1.5e-4,
    "ResNeXt152_32x4d": 1e-4,
    "ResNeXt152_64x4d": 1.8e-4,
}


def test_there_is_one_for_every_checkpoint():
    assert set(checkpoints()) <= set(recipes())
    assert len(checkpoints()) == 27
    assert set(recipes()) - set(checkpoints()) == {
        "distil", "distil-finetune", "finetune-small", "fixres", "gluon", "rsb-a2", "rsb-a3", "torchvision-v2", "usi",
    }  # fmt: skip


@pytest.mark.parametrize("name", [name for name in checkpoints() if not name.endswith("_ssld")])
def test_the_published_recipes(name):
    recipe = find_recipe(name)
    step = name in STEP_DECAY
    decay = STEP_DECAY.get(name, 7e-5 if name.startswith("SE") else 1e-4)
    assert recipe == Recipe(source=recipe.source).changed(
        {
            "epochs": 120 if step else 200,
            "weight_decay": decay,
            "lr_schedule": "step" if step else "cosine",
            "lr_milestones": [30, 60, 90] if step else [],
            "label_smoothing": 0.0 if step else 0.1,
            "mixup_alpha": 0.0 if step else 0.2,
            "lr": 0.1,
            "global_batch_size": 256,
            "momentum": 0.9,
            "nesterov": False,
            "without_decay": "none",
            "crop_area": [0.08, 1.0],
            "image_size": 224,
            "resize_short": 256,
            "antialias": False,
        }
    )
    assert f"{100 * checkpoints()[name].published.top1:.1f} %" in recipe.source


def test_the_first_stage_of_distillation():
    recipe = find_recipe("Res2Net200_vd_26w_4s_ssld")
    assert (recipe.epochs, recipe.global_batch_size, recipe.scaled_lr) == (360, 1024, 0.4)
    assert recipe.optim.weight_decay == 4e-5


def test_who_learns_from_a_teacher():
    learning = {name: find_recipe(name).distil for name in recipes() if find_recipe(name).distil != Distil()}
    as_published = Distil(distillation="symmetric_kl", label_weight=0, teacher_statistics="batch")
    assert learning == {name: as_published for name in checkpoints() if name.endswith("_ssld")} | {
        "usi": Distil(distillation="kl", distillation_weight=5),
        "distil": Distil(distillation="kl", label_weight=0),
        "distil-finetune": Distil(distillation="kl", label_weight=0),
    }


def test_a_file_shows_little_but_what_is_its_own():
    assert find_recipe("resnext101_64X4D").differences() == {
        "source": "PaddleClas: 78.4 % top-1 on ImageNet-1k",
        "epochs": 120,
        "optim": {"weight_decay": 1.5e-4},
        "rate": {"lr_schedule": "step", "lr_milestones": (30, 60, 90)},
    }


def test_the_rates_of_the_other_recipes():
    assert find_recipe("gluon").scaled_lr == pytest.approx(0.4)
    assert find_recipe("rsb-a2").scaled_lr == 0.005
    assert find_recipe("rsb-a3").images.image_size == 160
    assert find_recipe("torchvision-v2").scaled_lr == 0.5


@pytest.mark.parametrize(("name", "published"), [("rsb-a2", 7), ("rsb-a3", 6), ("usi", 7)])
def test_the_published_strength_is_of_timms_scale(monkeypatch, name, published):
    """timm turns by 30 degrees x m / 10 and shears by 0.3 x m / 10."""
    applied = {}

    def note(self, image, operation, magnitude, **options):
        applied.setdefault(operation, set()).add(round(abs(magnitude), 4))
        return image

    monkeypatch.setattr(v2.RandAugment, "_apply_image_or_video_transform", note)
    augment, random = preparation(find_recipe(name))[1], np.random.default_rng(0)
    for _ in range(100):
        changed(
            np.zeros((4, 4, 3), np.uint8), augment.policy, augment.policy_magnitude, augment.policy_operations, random
        )
    assert applied["Rotate"] == {30 * published / 10}
    assert applied["ShearX"] == applied["ShearY"] == {0.03 * published}


def test_the_average_of_torchvision_forgets_as_its_reference_does():
    """references/classification/train.py of pytorch/vision adjusts --model-ema-decay 0.99998, every 32 steps."""
    reference = 1 - (1 - 0.99998) * 8 * 128 * 32 / 600
    assert find_recipe("torchvision-v2").step.ema_decay ** 32 == pytest.approx(reference, abs=2e-6)


def test_a_recipe_of_your_own(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("epochs: 5\nlr: 0.01\nimages:\n  flip: 0\n")
    recipe = find_recipe(path)
    assert (recipe.epochs, recipe.optim.lr, recipe.images.flip) == (5, 0.01, 0)
    assert find_recipe(str(path)) == recipe
    assert recipe.changed(parse_changes(["optim.lr=0.5", "crop_area=[0.5, 1]", "lr_schedule=step", "lr_milestones=[3]"])
    ).flat() | {"lr": 0.01} == recipe.flat() | {
        "crop_area": [0.5, 1.0], "lr_schedule": "step", "lr_milestones": [3],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs: [", "mine is not YAML"),
        ("- 1", "mine: expected settings and their values, found list"),
        ("epoch: 5", r"mine: unknown setting of a recipe 'epoch': did you mean 'epochs'\?"),
        ("optim: {lr: fast}", r'mine: optim: lr: expected a number, found "fast"'),
        ("!!python/object/apply:os.system [ls]", "mine is not YAML"),
        ("[" * 800, "mine is not YAML"),
        ("1: 2", "mine: unknown setting of a recipe '1'"),
        ("epochs: 2020-13-45", "mine is not YAML: month must be in 1..12"),
        ("epochs: " + "9" * 5000, "mine is not YAML: Exceeds the limit"),
    ],
)
def test_what_is_no_recipe(text, message):
    with pytest.raises(ResnexusError, match=message):
        parse_recipe(text, where="mine")


def test_numbers_may_be_written_with_an_exponent():
    assert parse_changes(["lr=1e-4", "weight_decay=5E-05", "eps=1.e-8"]) == {
        "lr": 1e-4,
        "weight_decay": 5e-5,
        "eps": 1e-8,
    }
    assert parse_recipe("optim:\n  lr: 2e-3", where="mine").optim.lr == 0.002


def test_names_and_changes_are_checked(tmp_path):
    with pytest.raises(ResnexusError, match=r"unknown recipe 'rsb-a1': did you mean 'rsb-a[23]'\?"):
        find_recipe("rsb-a1")
    with pytest.raises(ResnexusError, match=r"cannot read the recipe .*none.yaml: No such file"):
        find_recipe(tmp_path / "none.yaml")
    with pytest.raises(ResnexusError, match=r"'lr': expected NAME=VALUE, such as lr=0.05"):
        parse_changes(["lr"])
    with pytest.raises(ResnexusError, match=r"unknown setting of a recipe 'lrr': did you mean 'lr'\?"):
        parse_changes(["lrr=1"])
    for value in ("[" * 800, "2020-13-45", "9" * 5000):
        with pytest.raises(ResnexusError, match="is no value"):
            parse_changes([f"lr={value}"])


def test_a_recipe_prints_and_reads_again():
    recipe = find_recipe("rsb-a2")
    assert Recipe().changed(json.loads(json.dumps(recipe.flat()))) == recipe
