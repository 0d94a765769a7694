"""A small network with a record, and what it answers."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from resnexus import Architecture
from resnexus.artefacts.photographs import photographs
from resnexus.data.preprocess import Preprocess
from resnexus.weights.checkpoint_file import CheckpointRecord, write_checkpoint

CLASSES = ("tench", "great white shark", "hen", "ostrich", "robin", "jay", "kite")
PREPROCESS = Preprocess(size=32, resize_short=37, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))


@pytest.fixture(scope="session")
def network(random_network):
    """Gated, so that every rewrite that costs nothing applies, and else as small as a network can be."""
    row = Architecture(
        name="small",
        block="bottleneck",
        depths=(1,),
        width=8,
        out_width=32,
        se_reduction=4,
        stem="small",
        stem_width=16,
    )
    found = random_network(row, dtype=torch.float32)
    found.record = CheckpointRecord(
        architecture=found.architecture, classes=CLASSES, preprocess=PREPROCESS, licence="Apache-2.0", tag="own"
    )
    return found


@pytest.fixture(scope="session")
def weights(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "own.safetensors"
    write_checkpoint(network.state_dict(), path, network.record)
    return path


@pytest.fixture(scope="session")
def images():
    """The photographs, prepared: (8, 3, 32, 32) float32."""
    return torch.stack([PREPROCESS(picture) for picture in photographs()])


@pytest.fixture(scope="session")
def logits(network, images):
    with torch.inference_mode():
        return network(images).numpy()


@pytest.fixture
def alone(tmp_path, images):
    """Run a script in a Python that knows neither this package nor PyTorch; `images.npy` is there, `out.npy` comes."""

    def run(script, *arguments):
        np.save(tmp_path / "images.npy", images.numpy())
        after = "\nimport sys; assert not {'torch', 'resnexus'} & set(sys.modules), 'loaded'"
        done = subprocess.run(
            [sys.executable, "-I", "-c", script + after, *map(str, arguments)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return np.load(tmp_path / "out.npy")

    return run
