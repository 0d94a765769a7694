"""PyTorch's archives: what is in them, and that only what is trusted is opened."""

import json
import zipfile

import numpy as np
import pytest

from resnexus import ResnexusError, export, open_artefact
from resnexus.artefacts.photographs import photographs


@pytest.fixture(scope="module")
def path(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("pt2") / "own.pt2"
    export(network, path, format="pt2", preprocess="full", heatmap=True)
    return path


def test_it_answers_as_the_network(path, logits):
    artefact = open_artefact(path, trust_code=True)
    probabilities = np.exp(logits - logits.max(1, keepdims=True))
    probabilities /= probabilities.sum(1, keepdims=True)
    for picture, expected in zip(photographs(), probabilities, strict=True):
        assert np.allclose(artefact(picture)[0], expected, atol=1e-5)
    assert artefact.record.agreement.max_rel < 1e-5


def test_only_what_is_trusted_is_opened(path):
    with pytest.raises(ResnexusError, match=r"own\.pt2: opening the format pt2 can run code .* give trust_code=True"):
        open_artefact(path)


def test_the_record_is_a_file_in_the_archive(path):
    with zipfile.ZipFile(path) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("/resnexus.json")]
        assert json.loads(archive.read(name))["format"] == "pt2"


def test_what_is_no_such_archive(tmp_path):
    path = tmp_path / "a.pt2"
    path.write_bytes(b"garbage")
    with pytest.raises(ResnexusError, match=r"a\.pt2 is no archive of PyTorch"):
        open_artefact(path, trust_code=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.txt", "")
    with pytest.raises(ResnexusError, match=r"a\.pt2 says nothing about itself"):
        open_artefact(path, trust_code=True)
