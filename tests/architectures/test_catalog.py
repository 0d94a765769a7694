"""A name becomes a row once; all that follows is given the row."""

import pytest
import torch

from resnexus import create_model
from resnexus.architectures import catalog
from resnexus.comparison.checks import cost
from resnexus.comparison.jobs import trainings
from resnexus.comparison.settings import Settings
from resnexus.weights.convert import convert
from resnexus.weights.mapping import to_timm

NAME = "SE_ResNet_small"


class LookedUp(dict):
    """The table of names, which writes down what it is asked."""

    def __init__(self, names):
        super().__init__(names)
        self.asked = []

    def get(self, name, default=None):
        self.asked.append(name)
        return super().get(name, default)


@pytest.fixture
def asked(monkeypatch):
    table = LookedUp(catalog._BY_LOWERED_NAME)
    monkeypatch.setattr(catalog, "_BY_LOWERED_NAME", table)
    return table.asked


def test_create_model(asked, tmp_path):
    network = create_model(NAME, num_classes=3)
    create_model(NAME.upper(), features_only=True)
    assert asked == [NAME.lower()] * 2
    torch.save(to_timm(network.architecture, network.state_dict()), tmp_path / "a.pth")
    create_model(NAME, tmp_path / "a.pth")
    assert asked == [NAME.lower()] * 3


def test_convert(asked, tmp_path):
    row = catalog.architecture(NAME)
    torch.save(to_timm(row, create_model(row).state_dict()), tmp_path / "a.pth")
    asked.clear()
    convert(tmp_path / "a.pth", tmp_path / "b.pdparams", architecture=NAME)
    convert(tmp_path / "b.pdparams", tmp_path / "c.safetensors", architecture=NAME.lower())
    assert asked == [NAME.lower()] * 2
    convert(tmp_path / "c.safetensors", tmp_path / "d.safetensors")
    assert len(asked) == 2


def test_compare(asked):
    names = [NAME, "resnext_small"]
    jobs = trainings("digits", models=names, weights=None, image_size=None, seeds=2, settings=Settings())
    for job in jobs:
        cost(job)
        job.network()
    assert asked == [name.lower() for name in names]
