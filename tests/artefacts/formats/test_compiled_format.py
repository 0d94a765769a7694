"""Compiled packages: for one instruction set and one PyTorch, and only if trusted."""

import shutil
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from resnexus import ResnexusError, export, open_artefact
from resnexus.artefacts.formats import compiled
from resnexus.artefacts.record import ArtefactRecord, Interface, record_text
from resnexus.packages import installed_version
from tests.artefacts.conftest import PREPROCESS


@pytest.fixture
def record(network):
    return ArtefactRecord(
        format="aoti",
        row=network.architecture,
        weights="own",
        preprocess=PREPROCESS,
        interface=Interface(image_size=32),
        instruction_set="avx2",
        versions={"torch": installed_version("torch")},
    )


def package(path, record):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("own/extra/resnexus.json", record_text(record))
    return path


def test_it_is_opened_only_where_it_runs(record, tmp_path, monkeypatch):
    path = package(tmp_path / "own.pt2", record)
    with pytest.raises(ResnexusError, match="opening the format aoti can run code"):
        open_artefact(path)
    monkeypatch.setattr(compiled, "instructions", lambda: frozenset(("sse4_2", "avx")))
    with pytest.raises(ResnexusError, match=r"own\.pt2: code for avx2 does not run on this processor, .* lacks avx2"):
        open_artefact(path, trust_code=True)
    monkeypatch.setattr(compiled, "instructions", lambda: compiled.INSTRUCTION_SETS["avx2"].flags)
    package(path, replace(record, versions={"torch": "2.0"}))
    with pytest.raises(ResnexusError, match=r"own\.pt2 was compiled for PyTorch 2\.0, and this is .*: export it anew"):
        open_artefact(path, trust_code=True)
    package(path, replace(record, instruction_set="avx1024"))
    with pytest.raises(ResnexusError, match="unknown instruction set 'avx1024'"):
        open_artefact(path, trust_code=True)


def test_the_instruction_set_is_to_be_said(network, tmp_path, monkeypatch):
    with pytest.raises(ResnexusError, match=r"say for which instruction set \(--instruction-set\), one of avx2"):
        export(network, tmp_path / "own.pt2", format="aoti")
    with pytest.raises(ResnexusError, match="instruction_set='avx2' has no effect on the format pt2: it is for aoti"):
        export(network, tmp_path / "own.pt2", format="pt2", instruction_set="avx2")
    monkeypatch.setattr(compiled, "instructions", frozenset)
    with pytest.raises(ResnexusError, match="small: code for avx512 does not run on this processor"):
        export(network, tmp_path / "own.pt2", format="aoti", instruction_set="avx512")


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")
def test_it_answers_as_the_network(network, tmp_path, images, logits):
    if compiled.INSTRUCTION_SETS["avx2"].flags - compiled.instructions():
        pytest.skip("a processor without AVX2")
    path = tmp_path / "own.pt2"
    record = export(network, path, format="aoti", instruction_set="avx2", heatmap=True)
    assert record.instruction_set == "avx2"
    artefact = open_artefact(path, trust_code=True)
    assert artefact.record == record
    assert np.allclose(artefact(images[:3].numpy()), logits[:3], rtol=1e-4, atol=1e-4)
