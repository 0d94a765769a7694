"""ExecuTorch's programs: what is in them, and what is none.

Its package is in no extra for tests, so that what needs it is slow; a few seconds each on an idle machine.
"""

import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from resnexus import ResnexusError, export, open_artefact
from resnexus.artefacts.artefact import Artefact
from resnexus.artefacts.comparing import compared
from resnexus.artefacts.formats import executorch
from resnexus.artefacts.formats.contract import Opened
from resnexus.artefacts.graph import Deployed, program
from resnexus.artefacts.record import ArtefactRecord, Interface, record_text
from resnexus.packages import MissingPackageError
from resnexus.prediction.predictor import Predictor, predict
from tests.artefacts.conftest import CLASSES, PREPROCESS

ONE = Interface(image_size=32, batch="one")


@pytest.fixture
def record(network):
    return ArtefactRecord(
        format="executorch",
        row=network.architecture,
        weights="own",
        classes=CLASSES,
        preprocess=PREPROCESS,
        interface=ONE,
        versions={},
    )


@pytest.fixture
def runtime(monkeypatch):
    """ExecuTorch's runtime without it: a file's name -> what its methods return, or what they raise."""
    programs = {}

    class Program:
        def __init__(self, methods):
            self.method_names = set(methods)
            self.load_method = lambda name: SimpleNamespace(execute=methods[name])

    def load_program(path):
        if isinstance(programs[path.name], Exception):
            raise programs[path.name]
        return Program(programs[path.name])

    found = SimpleNamespace(get=lambda: SimpleNamespace(load_program=load_program))
    monkeypatch.setattr(executorch, "_module", lambda name: {"runtime": SimpleNamespace(Runtime=found)}[name])
    return programs


def test_the_package_is_named_with_its_extra(network, tmp_path, monkeypatch):
    monkeypatch.setattr("resnexus.packages.version", _absent)
    with pytest.raises(MissingPackageError, match=r"executorch is not installed: pip install 'resnexus\[executorch\]'"):
        export(network, tmp_path / "own.pte", format="executorch")
    assert not list(tmp_path.iterdir())


def _absent(name):
    from importlib.metadata import PackageNotFoundError, version

    if name == "executorch":
        raise PackageNotFoundError(name)
    return version(name)


@pytest.mark.parametrize(
    ("interface", "message"),
    [
        (replace(ONE, included="full"), "preprocess='full' is not for ExecuTorch, which plans memory"),
        (replace(ONE, sizes="multiples-of-32"), "sizes='multiples-of-32' is not for ExecuTorch, which plans memory"),
    ],
)
def test_what_has_no_largest_size_is_refused(network, record, interface, message):
    deployed = SimpleNamespace(network=network, interface=interface)
    with pytest.raises(ResnexusError, match=message):
        executorch.FORMAT.build(deployed, replace(record, interface=interface))


def test_the_graph_takes_one_image(network, images, logits):
    graph = program(Deployed(network, PREPROCESS, ONE)).module()
    with torch.inference_mode():
        assert np.allclose(graph(images[:1])[0], logits[:1], atol=1e-5)
        with pytest.raises(Exception, match=r"[Gg]uard|shape|size"):
            graph(images[:2])


def test_pictures_are_compared_one_at_a_time(network, record, images, logits):
    calls = []

    def run(given):
        calls.append(len(given))
        with torch.inference_mode():
            return [network(torch.from_numpy(given)).numpy()]

    artefact = Artefact("own.pte", Opened(record, run))
    assert compared(network, artefact).agreement.max_rel < 1e-5
    assert calls == [1] * len(images)
    with pytest.raises(ResnexusError, match=r"images of shape \(2, 3, 32, 32\) and float32: expected \(1, 3, 32, 32\)"):
        artefact(images[:2].numpy())


def test_pictures_are_predicted_one_at_a_time(record, runtime, logits, tmp_path):
    calls = []

    def forward(given):
        calls.append(tuple(given[0].shape))
        return [torch.from_numpy(logits[:1])]

    runtime["own.pte"] = {"resnexus": lambda given: [record_text(record)], "forward": forward}
    path = tmp_path / "own.pte"
    path.write_bytes(b"")
    picture = np.zeros((40, 40, 3), np.uint8)
    found = predict(path, [picture] * 3)
    assert set(calls) == {(1, 3, 32, 32)}
    assert [one.class_ids[0] for one in found] == [int(logits[0].argmax())] * 3
    assert found[0].label_names[0] == CLASSES[logits[0].argmax()]
    with pytest.raises(ResnexusError, match=r"batch_size=8 has no effect on .*own\.pte: it takes images one at a time"):
        Predictor(path, batch_size=8)


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        (RuntimeError("Failed to load program, error: 0x:23"), "ExecuTorch cannot open it: Failed to load program"),
        ({"forward": None}, "says nothing about itself: expected a program that `resnexus export` wrote"),
        ({"forward": None, "resnexus": lambda given: ["{}"]}, "the record in .*a.pte: "),
    ],
)
def test_what_is_no_program_of_ours(runtime, tmp_path, methods, message):
    runtime["a.pte"] = methods
    (tmp_path / "a.pte").write_bytes(b"")
    with pytest.raises(ResnexusError, match=r"a\.pte") as error:
        open_artefact(tmp_path / "a.pte")
    assert re.search(message, str(error.value))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("preprocess", ["none", "normalise"])
def test_it_answers_as_the_network(network, images, logits, tmp_path, preprocess):
    pytest.importorskip("executorch", reason="executorch is not installed")
    path = tmp_path / "own.pte"
    record = export(network, path, format="executorch", preprocess=preprocess, heatmap=True)
    assert [file.name for file in tmp_path.iterdir()] == ["own.pte"]
    artefact = open_artefact(path)
    assert artefact.record == record
    assert record.classes == CLASSES
    assert record.agreement.max_rel < 1e-5
    assert record.heatmap_agreement.max_rel < 1e-4
    if preprocess == "none":
        found = [artefact(image[None].numpy())[0] for image in images]
        assert np.allclose(found, logits, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("default")
def test_what_is_damaged_is_refused(network, tmp_path):
    pytest.importorskip("executorch", reason="executorch is not installed")
    path = tmp_path / "own.pte"
    export(network, path, format="executorch")
    whole = path.read_bytes()
    for damaged in (b"", b"garbage", whole[:1000], whole[:-1000]):
        path.write_bytes(damaged)
        with pytest.raises(ResnexusError, match=r"own\.pte: ExecuTorch cannot open it: Failed to load program"):
            open_artefact(path)
