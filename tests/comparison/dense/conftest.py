"""Two small backbones, and settings for a training of a second."""

from __future__ import annotations

import pytest

from resnexus import Architecture
from resnexus.comparison.dense.settings import DenseSettings

_SHAPE = {"depths": (1, 1), "out_width": 8, "stem": "conv7", "stem_width": 8}


@pytest.fixture(scope="session")
def backbones() -> tuple[Architecture, ...]:
    return (
        Architecture(name="plain", block="basic", width=8, **_SHAPE),
        Architecture(name="split", block="res2", width=2, scale=2, **_SHAPE),
    )


@pytest.fixture(scope="session")
def short() -> DenseSettings:
    return DenseSettings(epochs=2, learning_rate=0.004, train_images=4, val_images=3, batch_size=2)
