"""A pool of small pictures, some of them broken, and what a small teacher says of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnexus.data.augment import Augment
from resnexus.distillation.pictures import Listed
from resnexus.distillation.score import ScoreSettings, score
from resnexus.prediction.settings import PredictionSettings
from tests.assessment.conftest import network, weights  # noqa: F401  # fixtures

BROKEN = {3: "damaged", 7: "empty"}
SETTINGS = ScoreSettings(
    views=3,
    topk=2,
    seed=5,
    augment=Augment(crop_area=(0.3, 1.0)),
    shard_pictures=4,
    asking=PredictionSettings(batch_size=8),
)
"""Shards of four; two pictures with their four views in one forward pass."""


@pytest.fixture(scope="session")
def pool_folder(tmp_path_factory) -> Path:
    """Ten pictures, two of which cannot be read, and a file that is none."""
    folder = tmp_path_factory.mktemp("pool")
    random = np.random.default_rng(4)
    for number in range(10):
        path = folder / f"{number}.png"
        # Coarse blocks of colour: hashes and views of them differ.
        blocks = random.integers(0, 256, (5, 7, 3), dtype=np.uint8)
        Image.fromarray(blocks).resize((47, 33), Image.Resampling.BILINEAR).save(path)
    content = (folder / "3.png").read_bytes()
    (folder / "3.png").write_bytes(content[: len(content) // 2])
    (folder / "7.png").write_bytes(b"")
    (folder / "notes.txt").touch()
    return folder


@pytest.fixture(scope="session")
def cache(pool_folder, weights, tmp_path_factory):  # noqa: F811
    return score(Listed([pool_folder]), str(weights), tmp_path_factory.mktemp("cache"), SETTINGS)
