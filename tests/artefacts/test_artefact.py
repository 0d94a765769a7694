"""What cannot be opened, and what an artefact does not take."""

import numpy as np
import pytest
from PIL import Image

from resnexus import ResnexusError, export, open_artefact
from resnexus.artefacts.formats import onnx, openvino
from resnexus.artefacts.formats.registry import find_format
from tests.artefacts.conftest import PREPROCESS


@pytest.fixture(scope="module")
def artefact(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("artefact") / "own"
    export(network, folder, format="safetensors")
    return open_artefact(folder)


def test_what_is_no_artefact(tmp_path):
    with pytest.raises(ResnexusError, match=r"no such file or folder: .*gone\.onnx"):
        open_artefact(tmp_path / "gone.onnx")
    with pytest.raises(ResnexusError, match=r"is no artefact: it has no resnexus\.json"):
        open_artefact(tmp_path)
    (tmp_path / "a.onxx").touch()
    with pytest.raises(ResnexusError, match=r"unknown kind of artefact 'a\.onxx'.*\*\.onnx"):
        open_artefact(tmp_path / "a.onxx")


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([[0.0]], "images are list: expected an array"),
        (np.zeros((1, 3, 32, 32)), r"\(1, 3, 32, 32\) and float64: expected \(N, 3, 32, 32\) float32; `prepare`"),
        (np.zeros((3, 32, 32), np.float32), r"\(3, 32, 32\) and float32: expected \(N, 3, 32, 32\) float32"),
        (np.zeros((1, 3, 32, 33), np.float32), r"\(1, 3, 32, 33\) and float32: expected"),
        (np.zeros((0, 3, 32, 32), np.float32), r"\(0, 3, 32, 32\) and float32: expected"),
    ],
)
def test_what_it_does_not_take(artefact, images, message):
    with pytest.raises(ResnexusError, match=message):
        artefact(images)


def test_a_picture_is_prepared(artefact):
    picture = Image.fromarray(np.arange(50 * 70 * 3, dtype=np.uint8).reshape(50, 70, 3))
    found = artefact.prepare(picture)
    assert np.array_equal(found, PREPROCESS(picture).numpy()[None])
    assert artefact(found).shape == (1, 7)


def test_views_are_taken(artefact, images):
    backwards = images.numpy()[::-1]
    assert np.allclose(artefact(backwards), artefact(images.numpy())[::-1], atol=1e-5)


class Asked(Exception):
    """What is asked for is known, and nothing need be opened."""


def test_threads_are_those_of_the_library(tmp_path, monkeypatch):
    def session(path, threads=None):
        raise Asked(path, threads)

    monkeypatch.setattr(onnx, "onnx_session", session)
    path = tmp_path / "own.onnx"
    path.touch()
    for threads in (1, None):
        with pytest.raises(Asked) as asked:
            open_artefact(path, threads=threads)
        assert asked.value.args == (path, threads)
    with pytest.raises(ResnexusError, match="threads=0: expected at least 1"):
        open_artefact(path, threads=0)


@pytest.mark.parametrize("name", ["onnx", "openvino", "triton", "ovms", "web"])
def test_every_format_of_another_library_passes_them_on(tmp_path, monkeypatch, name):
    def opened(self, path, threads=None):
        raise Asked(threads)

    for inner in (onnx.OnnxFormat, openvino.OpenVinoFormat):
        monkeypatch.setattr(inner, "open", opened)
    with pytest.raises(Asked) as asked:
        find_format(name).open(tmp_path, threads=3)
    assert asked.value.args == (3,)
