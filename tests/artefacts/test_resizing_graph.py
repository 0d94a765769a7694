"""The resize in the graph gives the bits of `Preprocess`, in PyTorch and in ONNX Runtime."""

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from torch import nn
from torch.export import Dim

from resnexus import ResnexusError
from resnexus.acceleration.backends.exporting import exported_for, onnx_program
from resnexus.artefacts.graph import Normalise
from resnexus.artefacts.photographs import photographs
from resnexus.artefacts.resizing import Frame
from resnexus.data.preprocess import Preprocess

SMALL = Preprocess(size=24, resize_short=29)
PUBLISHED = Preprocess()
# Ratios whose taps fall on neighbours' ties, lines, long strips, and sides beyond 2^13, where float32 rounds the taps.
SIZES = ((1, 1), (1, 700), (700, 1), (2, 3), (29, 29), (58, 87), (87, 58), (24, 9001), (12289, 31), (427, 640))


def noise(height, width, channels=3):
    random = np.random.default_rng(height * 70_001 + width)
    return random.integers(0, 256, (height, width, channels), dtype=np.uint8)


def framed(frame, pixels):
    return frame(torch.from_numpy(pixels)).numpy()


@pytest.mark.parametrize("size", SIZES, ids=lambda size: "x".join(map(str, size)))
def test_awkward_sizes(size):
    pixels = noise(*size)
    assert np.array_equal(framed(Frame(SMALL), pixels), SMALL.frame(pixels))


@hypothesis.settings(max_examples=40)
@hypothesis.given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 40), st.integers(0, 40))
@hypothesis.example(234, 255, 1, 38)  # 255 x 39 / 234 is 42.5, and any other rounding on the way is seen
def test_any_size(height, width, size, more):
    preprocess = Preprocess(size=size, resize_short=size + more)
    pixels = noise(height, width, 1)
    assert np.array_equal(framed(Frame(preprocess), pixels), preprocess.frame(pixels))


def test_photographs_at_the_published_size():
    for picture in photographs():
        assert np.array_equal(framed(Frame(PUBLISHED), picture), PUBLISHED.frame(picture))


def test_antialias_is_refused():
    with pytest.raises(ResnexusError, match=r"preprocess='full': a resize with antialias is Pillow's own"):
        Frame(Preprocess(antialias=True))


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """The preprocessing alone, in ONNX Runtime."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")

    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.frame, self.normalise = Frame(SMALL), Normalise(SMALL)

        def forward(self, picture):
            return self.normalise(self.frame(picture)[None])

    free = {0: Dim("height", min=1), 1: Dim("width", min=1)}
    program = exported_for(Whole().eval(), torch.zeros(37, 53, 3, dtype=torch.uint8), free)
    path = tmp_path_factory.mktemp("frame") / "frame.onnx"
    onnx_program(program, input_names=["picture"]).save(path)
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def in_onnx(session, pixels):
    return session.run(None, {"picture": np.ascontiguousarray(pixels)})[0][0]


def test_awkward_sizes_and_photographs_in_onnx(session):
    for pixels in (*(noise(*size) for size in SIZES), *photographs()):
        assert np.array_equal(in_onnx(session, pixels), SMALL(pixels).numpy()), pixels.shape


@hypothesis.settings(max_examples=40)
@hypothesis.given(st.integers(1, 500), st.integers(1, 500))
def test_any_size_in_onnx(session, height, width):
    pixels = noise(height, width)
    assert np.array_equal(in_onnx(session, pixels), SMALL(pixels).numpy())
