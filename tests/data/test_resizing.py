import sys

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnexus.data import resizing
from resnexus.data.resizing import linear, linear_by_definition


def noise(height, width, channels=3, seed=0):
    return np.random.RandomState(seed).randint(0, 256, (height, width, channels), dtype=np.uint8)


def opencv(pixels, height, width):
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR).reshape(height, width, -1)


sides = st.integers(1, 160)


@settings(max_examples=150, deadline=None)
@given(sides, sides, sides, sides, st.sampled_from([1, 3]), st.integers(0, 2**31 - 1))
def test_the_definition_equals_opencv_bit_for_bit(height, width, new_height, new_width, channels, seed):
    pixels = noise(height, width, channels, seed)
    side = min(new_height, new_width)
    top, left = (new_height - side) // 2, new_width - side
    expected = opencv(pixels, new_height, new_width)[top : top + side, left : left + side]
    for function in (linear, linear_by_definition):
        np.testing.assert_array_equal(function(pixels, (new_height, new_width), (top, left), side), expected)


@pytest.mark.parametrize("factor", [2, 3, 4, 8])
def test_whole_factors(factor):
    """OpenCV has code of its own for some of them."""
    small, large = noise(24, 32), noise(24 * factor, 32 * factor)
    for pixels, size in ((small, (24 * factor, 32 * factor)), (large, (24, 32))):
        expected = opencv(pixels, *size)[: size[0], : size[0]]
        np.testing.assert_array_equal(linear_by_definition(pixels, size, (0, 0), size[0]), expected)


@pytest.mark.parametrize("function", [linear, linear_by_definition])
def test_pixels_are_taken_as_they_lie_in_memory(function):
    whole = noise(60, 80)
    read_only = whole.copy()
    read_only.setflags(write=False)
    for pixels in (whole[10:43, 20:67], whole[::-1, ::-1], whole[:, :, ::-1], whole.transpose(1, 0, 2), read_only):
        expected = opencv(np.ascontiguousarray(pixels), 30, 30)
        np.testing.assert_array_equal(function(pixels, (30, 30), (0, 0), 30), expected)


class Recorder:
    """OpenCV that notes what it is asked for, and may be off by one."""

    INTER_LINEAR = cv2.INTER_LINEAR

    def __init__(self, error=0):
        self.error, self.sizes = error, []

    def resize(self, pixels, size, interpolation):
        self.sizes.append(size)
        return cv2.resize(pixels, size, interpolation=interpolation) ^ self.error


@pytest.fixture
def _afresh():
    resizing._opencv.cache_clear()
    yield
    resizing._opencv.cache_clear()


@pytest.mark.usefixtures("_afresh")
def test_opencv_is_asked_if_it_gives_the_same_pixels(monkeypatch):
    recorder = Recorder()
    monkeypatch.setitem(sys.modules, "cv2", recorder)
    pixels = noise(33, 47)
    linear(pixels, (20, 28), (0, 4), 20)
    probes = len(recorder.sizes) - 1
    assert recorder.sizes[-1] == (28, 20)
    linear(pixels, (20, 28), (0, 4), 20)
    assert len(recorder.sizes) == probes + 2  # the probes are made once
    linear(noise(3, 400), (20, 2667), (0, 0), 20)
    assert len(recorder.sizes) == probes + 2  # most of it would be thrown away


@pytest.mark.usefixtures("_afresh")
@pytest.mark.parametrize("module", [None, Recorder(error=1)])
def test_without_an_equal_opencv_the_definition_is_used(module, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", module)
    pixels = noise(33, 47)
    np.testing.assert_array_equal(linear(pixels, (20, 28), (0, 4), 20), opencv(pixels, 20, 28)[:, 4:24])
