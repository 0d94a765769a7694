"""A small network in a file, and small pictures of its classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import resnexus
from resnexus.data.preprocess import Preprocess
from resnexus.weights.checkpoint_file import CheckpointRecord, write_checkpoint

CLASSES = ("blue", "green", "red")
PREPROCESS = Preprocess(size=16, resize_short=18)


@pytest.fixture(scope="session")
def network(random_network):
    row = resnexus.Architecture(
        name="smallest", block="bottleneck", depths=(1,), width=8, out_width=32, stem="small", stem_width=16
    )
    return random_network(row, num_classes=len(CLASSES)).float()


@pytest.fixture(scope="session")
def weights(network, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "own.safetensors"
    record = CheckpointRecord(architecture=network.architecture, classes=CLASSES, preprocess=PREPROCESS)
    write_checkpoint(network.state_dict(), path, record)
    return path


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    """Of each class 2 pictures to train on and 8 to evaluate on, the folders called as the classes are."""
    random = np.random.default_rng(0)
    root = tmp_path_factory.mktemp("pictures")
    for channel, name in enumerate(reversed(CLASSES)):
        for part, count in (("train", 2), ("val", 8)):
            (root / part / name).mkdir(parents=True)
            for index in range(count):
                # Stripes of two colours: other sizes, filters and noise change what is seen of them.
                colours = random.integers(0, 256, (2, 3), dtype=np.uint8)
                colours[0, channel] = 255
                stripes = (np.arange(20)[:, None] * random.integers(3) + np.arange(26)) // random.integers(1, 4) % 2
                pixels = colours[stripes]
                Image.fromarray(pixels).save(root / part / name / f"{index}.png")
    return root
