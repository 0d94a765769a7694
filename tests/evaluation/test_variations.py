from dataclasses import replace

import pytest

from resnexus.data.preprocess import Preprocess
from resnexus.errors import ResnexusError
from resnexus.evaluation.variations import at_size, sensitivities

BASE = Preprocess()


def test_another_size_crops_the_same_share():
    assert (at_size(BASE, 288).size, at_size(BASE, 288).resize_short) == (288, 329)
    assert at_size(BASE, 224) == BASE
    assert at_size(Preprocess(size=100, resize_short=100), 33).resize_short == 33
    with pytest.raises(ResnexusError, match="size=0: expected a whole number"):
        at_size(BASE, 0)


def test_each_differs_in_one_thing():
    found = sensitivities(BASE)
    assert list(found) == [
        "Pillow's bilinear resize",
        "Pillow's bicubic resize",
        "the whole short side, nothing cropped",
    ]
    assert found["Pillow's bicubic resize"] == replace(BASE, interpolation="bicubic", antialias=True)
    assert found["the whole short side, nothing cropped"].resize_short == 224


def test_a_crop_that_is_nearly_the_same_is_left_out():
    assert "a crop of 0.875 of the short side" not in sensitivities(Preprocess(size=64, resize_short=72))
    found = sensitivities(Preprocess(size=224, resize_short=236))
    assert found["a crop of 0.875 of the short side"].resize_short == 256


def test_the_base_itself_is_left_out():
    for name, other in sensitivities(BASE).items():
        assert name not in sensitivities(other)
        assert other not in sensitivities(other).values()
