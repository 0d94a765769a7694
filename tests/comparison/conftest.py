"""Two small networks, and a data set of a few small pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnexus import Architecture
from resnexus.comparison.jobs import Training, trainings
from resnexus.comparison.settings import Settings

_SHAPE = {"depths": (1,), "out_width": 8, "stem": "small", "stem_width": 8}


@pytest.fixture(scope="session")
def rows() -> tuple[Architecture, ...]:
    return (
        Architecture(name="plain", block="basic", width=8, **_SHAPE),
        Architecture(name="split", block="res2", width=2, scale=2, **_SHAPE),
    )


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two classes that differ in colour: 12 pictures to train on, 8 to evaluate on."""
    random = np.random.default_rng(0)
    for part, count in (("train", 6), ("val", 4)):
        for name, channel in (("green", 1), ("red", 0)):
            target = tmp_path / "data" / part / name
            target.mkdir(parents=True)
            for index in range(count):
                pixels = random.integers(0, 60, (20, 24, 3), dtype=np.uint8)
                pixels[..., channel] += 180
                Image.fromarray(pixels).save(target / f"{index}.jpg")
    return tmp_path / "data"


@pytest.fixture
def jobs(rows, folder):
    """Make the trainings of a comparison on `folder`, one for each row and seed."""

    def make(**changes) -> list[Training]:
        options = {
            "data": folder,
            "models": rows,
            "weights": None,
            "image_size": 16,
            "seeds": 1,
            "settings": Settings(epochs=1),
        }
        return trainings(**options | changes)

    return make
