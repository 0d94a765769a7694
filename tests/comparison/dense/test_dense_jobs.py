from dataclasses import replace

import numpy as np
import pytest
import torch

from resnexus import ResnexusError
from resnexus.comparison.dense.jobs import dense_trainings, finished, keep
from resnexus.comparison.dense.networks import BACKBONES
from resnexus.comparison.dense.settings import DenseSettings
from resnexus.report.dense.record import DenseRun, Scene


@pytest.fixture
def jobs(backbones, short):
    return dense_trainings("segmentation", models=backbones, seeds=2, settings=short)


def test_every_network_with_every_seed(jobs, short):
    assert [(job.row.name, job.seed) for job in jobs] == [("plain", 0), ("split", 0), ("plain", 1), ("split", 1)]
    default = dense_trainings("detection", models=None, seeds=1, settings=short)
    assert [job.row for job in default] == list(BACKBONES.values())


def test_jobs_of_other_conditions_have_other_names(jobs, short):
    job = jobs[0]
    others = [
        replace(job, task="detection"),
        replace(job, seed=1),
        replace(job, settings=replace(short, epochs=3)),
        replace(job, settings=replace(short, stage_lr=(0.1, 0.1, 1.0))),
        replace(job, settings=replace(short, output_stride=4)),
        replace(job, row=replace(job.row, stem_width=4)),
    ]
    assert len({job.key, *(other.key for other in others)}) == 7
    assert replace(job).key == job.key
    assert len({job.name, *(other.name for other in others)}) == 7


def test_seeds_train_on_other_canvases_and_are_evaluated_on_the_same(jobs):
    first, second = jobs[0], jobs[2]
    assert not np.array_equal(first.source.train(0)[0].pixels, second.source.train(1)[0].pixels)
    assert np.array_equal(first.source.val()[0].pixels, second.source.val()[0].pixels)
    weights = [job.network().head.weight for job in (first, first, second)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_kept_run_is_found_under_its_own_key_alone(jobs, tmp_path):
    run = DenseRun(seed=0, scores={"miou": 0.5}, losses=(2.0, 1.0), seconds=1.0, found=(Scene(classes=("..", ".3")),))
    assert finished(jobs[0], tmp_path) is None
    keep(jobs[0], run, tmp_path)
    assert finished(jobs[0], tmp_path) == run
    path = tmp_path / "runs" / f"{jobs[0].name}.json"
    path.rename(path.with_name(f"{jobs[1].name}.json"))
    assert finished(jobs[1], tmp_path) is None


def test_mistakes(backbones, short):
    def trainings(**options):
        return dense_trainings("detection", **{"models": backbones, "seeds": 1, "settings": short} | options)

    with pytest.raises(ResnexusError, match="unknown backbone for canvases of digits 'ResNeXt_smal': did you mean"):
        trainings(models=["ResNeXt_smal"])
    with pytest.raises(ResnexusError, match="'plain' is named 2 times"):
        trainings(models=[backbones[0], backbones[0]])
    with pytest.raises(ResnexusError, match="name at least one"):
        trainings(models=[])
    with pytest.raises(ResnexusError, match="seeds=0: expected at least 1"):
        trainings(seeds=0)
    for factors in ((0.1, 1.0), (0.1, 0.2, 0.3, 1.0)):
        with pytest.raises(ResnexusError, match="expected 3 factors for plain, one for stem and first stage"):
            trainings(settings=replace(short, stage_lr=factors))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs=0: expected a whole number of at least 1"),
        ({"learning_rate": -1.0}, "learning_rate=-1.0: expected at least 0"),
        ({"batch_size": 1}, "batch_size=1: expected at least 2, which a normalisation needs"),
        ({"stage_lr": (0.1, -1.0)}, r"stage_lr=\(0.1, -1.0\): expected factors of at least 0"),
        ({"batch_size": 9, "train_images": 8}, "batch_size=9: .* at most train_images=8"),
    ],
)
def test_settings_outside_their_ranges(changes, message):
    with pytest.raises(ResnexusError, match=message):
        DenseSettings(**{"epochs": 1, "learning_rate": 0.01} | changes)


def test_the_recipe(short):
    recipe = short.recipe(seed=3)
    assert (recipe.scaled_lr, recipe.optim.optimizer, recipe.seed) == (short.learning_rate, "adamw", 3)
    assert (recipe.epochs, recipe.global_batch_size) == (2, 2)
    assert (recipe.target.label_smoothing, recipe.target.mixup_alpha) == (0, 0)
