"""The groups of parameters that have a learning rate of their own."""

import dataclasses

import pytest
import torch

import resnexus
from resnexus import ResnexusError
from resnexus.training.optimizers import optimizer
from resnexus.training.recipe import Recipe

ROW = resnexus.Architecture(name="two", block="basic", depths=(1, 1), width=4, out_width=4, stem="small", stem_width=4)


def recipe(*factors):
    return Recipe().changed({"stage_lr": list(factors), "lr": 0.5, "global_batch_size": 256})


def test_every_stage_has_its_own_rate():
    network = resnexus.create_model(ROW, num_classes=3)
    groups = optimizer(network, recipe(0.1, 0.3, 1.0)).param_groups
    rates = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    expected = {"stem": 0.05, "stages.0": 0.05, "stages.1": 0.15, "head": 0.5}
    for name, parameter in network.named_parameters():
        (rate,) = (rate for part, rate in expected.items() if name.startswith(f"{part}."))
        assert rates[id(parameter)] == pytest.approx(rate), name


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_rates_that_decay_from_the_head_fit_any_number_of_stages(stages):
    row = dataclasses.replace(ROW, depths=(1,) * stages)
    network = resnexus.create_model(row, num_classes=3)
    decaying = recipe().changed({"stage_lr_decay": 0.5})
    rates = sorted({group["lr"] for group in optimizer(network, decaying).param_groups})
    assert rates == [0.5 * 0.5**distance for distance in range(stages, -1, -1)]
    written = recipe(*(0.5**distance for distance in range(stages, -1, -1)))
    assert optimizer(network, decaying).state_dict() == optimizer(network, written).state_dict()


def test_two_words_on_the_rates_of_stages_are_refused():
    with pytest.raises(ResnexusError, match=r"stage_lr=\(0.1, 1.0\) and stage_lr_decay=0.5: expected one of them"):
        recipe(0.1, 1.0).changed({"stage_lr_decay": 0.5})


@pytest.mark.parametrize("factors", [(1.0,), (0.1, 1.0), (0.1, 0.2, 0.3, 1.0)])
def test_another_number_of_factors_than_parts_is_refused(factors):
    network = resnexus.create_model(ROW, num_classes=3)
    with pytest.raises(
        ResnexusError, match=rf"factors {len(factors)}, stages of the network 2: expected 3, .*; or stage_lr=\[\]"
    ):
        optimizer(network, recipe(*factors))


@pytest.mark.parametrize("name", ["layers", "stages"])
def test_a_network_without_stages_has_one_rate(name):
    network = torch.nn.ModuleDict({name: torch.nn.Linear(2, 2)})
    with pytest.raises(
        ResnexusError,
        match=f"parameter '{name}.weight' is in no stage .*: set stage_lr=.. and stage_lr_decay=1 for one rate",
    ):
        optimizer(network, recipe(0.1, 1.0))
    assert [group["lr"] for group in optimizer(network, recipe()).param_groups] == [0.5]
