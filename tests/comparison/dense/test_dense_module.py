"""Rates of their own for the parts of a segmenter or a detector."""

import pytest

pytest.importorskip("lightning", reason="training is optional: pip install 'resnexus[train]'")

from dataclasses import replace

from resnexus.comparison.dense.module import DenseLearner
from resnexus.comparison.dense.networks import Detector, Segmenter

FACTORS = (0.05, 0.15, 1.0)


@pytest.mark.parametrize(("kind", "prefix"), [(Segmenter, ""), (Detector, "fcos.")])
def test_rates_of_stages_reach_the_optimiser(backbones, short, kind, prefix):
    network = kind(backbones[0])
    recipe = replace(short, stage_lr=FACTORS).recipe(0)
    learner = DenseLearner(network, 10, recipe, [None] * 4)
    optimizer = learner.configure_optimizers()["optimizer"]
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    rates = {names[id(one)]: group["initial_lr"] for group in optimizer.param_groups for one in group["params"]}
    assert rates.keys() == dict(network.named_parameters()).keys()
    stages = {"stem": FACTORS[0], "stage0": FACTORS[0], "stage1": FACTORS[1]}
    seen = set()
    for name, rate in rates.items():
        child = name.removeprefix(f"{prefix}backbone.body.").partition(".")[0]
        seen.add(child)
        assert rate == pytest.approx(short.learning_rate * stages.get(child, 1.0)), name
    assert {*stages, "levels" if kind is Segmenter else "fcos"} <= seen


def test_without_factors_there_is_one_rate(backbones, short):
    learner = DenseLearner(Segmenter(backbones[0]), 10, short.recipe(0), [None] * 4)
    (group,) = learner.configure_optimizers()["optimizer"].param_groups
    assert group["initial_lr"] == short.learning_rate
