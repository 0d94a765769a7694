"""The folder of weights and configuration, as timm and the Hub read it."""

import json

import numpy as np
import pytest
import torch

from resnexus import ResnexusError, export, open_artefact
from resnexus.weights.checkpoint_file import read_checkpoint, read_record
from resnexus.weights.hub import from_pretrained
from tests.artefacts.conftest import CLASSES, PREPROCESS


@pytest.fixture(scope="module")
def folder(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("safetensors") / "own"
    export(network, folder, format="safetensors")
    return folder


def test_the_weights_are_the_networks(folder, network, images, logits):
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors", "resnexus.json"]
    state = read_checkpoint(folder / "model.safetensors")
    assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())
    assert np.allclose(open_artefact(folder)(images.numpy()), logits, rtol=1e-5, atol=1e-5)
    assert torch.equal(from_pretrained(folder).eval()(images), network(images))


def test_timm_finds_what_it_looks_for(folder, network):
    config = json.loads((folder / "config.json").read_text())
    assert config["num_classes"] == len(CLASSES)
    wanted = {"input_size": [3, 32, 32], "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3], "label_names": [*CLASSES]}
    assert wanted.items() <= config["pretrained_cfg"].items()
    record = read_record(folder / "model.safetensors")
    assert (record.classes, record.preprocess, record.licence) == (CLASSES, PREPROCESS, "Apache-2.0")
    assert json.loads((folder / "resnexus.json").read_text())["rewrites"] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preprocess": "full"}, r"preprocess='full' has no effect on the format safetensors"),
        ({"heatmap": True}, r"heatmap=True has no effect on the format safetensors: it holds weights and no graph"),
    ],
)
def test_weights_hold_no_graph(network, tmp_path, options, message):
    with pytest.raises(ResnexusError, match=message):
        export(network, tmp_path / "own", format="safetensors", **options)
