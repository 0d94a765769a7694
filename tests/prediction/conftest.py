"""Pictures of every awkward kind, and what becomes of each."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import awkward as pictures
from tests.assessment.conftest import network, weights  # noqa: F401  # fixtures


@pytest.fixture(scope="session")
def awkward(tmp_path_factory) -> tuple[Path, dict[str, str | None]]:
    """A folder, and the error code of each file, None for those that are answered."""
    folder = tmp_path_factory.mktemp("awkward")
    return folder, pictures.write(folder)


@pytest.fixture
def stand_in_engines(monkeypatch):
    """In place of planned engines, which take minutes to make: the network itself, for one batch size and no other."""
    from resnexus.acceleration import accelerate as module

    def accelerate(model, *, batch_sizes, image_size, precision, progress):
        def engine(images):
            assert tuple(images.shape) == (batch_sizes, model.in_chans, image_size, image_size)
            assert not model.training
            return model(images)

        return engine

    monkeypatch.setattr(module, "accelerate", accelerate)
