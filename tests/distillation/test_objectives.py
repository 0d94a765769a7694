"""What a student is asked for, as settings of a recipe."""

import pytest

from resnexus import ResnexusError
from resnexus.distillation.objectives import OBJECTIVES, objective
from resnexus.training.losses import DIVERGENCES


def test_every_divergence_is_offered_and_published_is_what_the_code_does():
    offered = {changes["distillation"] for changes in OBJECTIVES.values()}
    assert offered == {*DIVERGENCES, "none"}
    published = objective("distil", "published").distil
    assert (published.distillation, published.teacher_statistics) == ("symmetric_kl", "batch")
    assert (published.label_weight, published.temperature) == (0, 1)


def test_the_default_is_the_teachers_answers_at_temperature_1_and_mixtures():
    recipe = objective("distil")
    assert (recipe.distil.distillation, recipe.distil.temperature, recipe.distil.label_weight) == ("kl", 1.0, 0.0)
    assert recipe.distil.teacher_statistics == "running"
    assert recipe.target.mixup_alpha > 0


def test_changes_come_last():
    recipe = objective("distil", "kl", 0.5, {"temperature": 4.0, "label_weight": 2.0})
    assert (recipe.distil.temperature, recipe.distil.label_weight) == (4.0, 2.0)
    assert objective("distil", "labels").distil.label_weight == 1
    with pytest.raises(ResnexusError, match="unknown loss 'klx': did you mean 'kl'"):
        objective("distil", "klx")
