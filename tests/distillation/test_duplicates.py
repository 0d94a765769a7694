from dataclasses import replace

import pytest

from resnexus import ResnexusError
from resnexus.distillation.duplicates import Evidence, Thresholds, judged
from resnexus.distillation.pictures import Picture

LIMITS = Thresholds(distance=10, cosine=0.9, correlation=0.95, detail=0.8)
MINE, OTHER = Picture(id=4, uri="/pool/a.jpg"), Picture(id=0, uri="/val/b.jpg")
COPY = Evidence(other=OTHER, distance=10, cosine=0.9, correlation=0.95, detail=0.8, mirrored=True)


def test_a_copy_passes_all_three():
    pair = judged(MINE, [COPY], LIMITS)
    assert (pair.id, pair.uri, pair.other, pair.mirrored, pair.removed) == (4, "/pool/a.jpg", "/val/b.jpg", True, True)
    assert pair.why == "a copy: hash, features and pixels agree"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"distance": 11}, "the hashes differ in more than 10 bits"),
        ({"cosine": 0.89}, "the teacher sees something else: cosine below 0.9"),
        ({"correlation": 0.94}, "other pixels: correlation below 0.95"),
        ({"detail": 0.79}, "other detail: correlation below 0.8"),
    ],
)
def test_each_of_the_three_keeps_a_picture(change, why):
    pair = judged(MINE, [replace(COPY, **change)], LIMITS)
    assert not pair.removed
    assert pair.why == why


def test_of_several_the_one_that_passes_or_comes_nearest_is_named():
    liker = replace(COPY, other=Picture(id=1, uri="liker"), correlation=0.99, cosine=0.5)
    farther = replace(COPY, other=Picture(id=2, uri="farther"), correlation=0.2)
    assert judged(MINE, [liker, COPY, farther], LIMITS).other == "/val/b.jpg"
    assert judged(MINE, [farther, liker], LIMITS).other == "liker"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"distance": 33}, "distance=33: expected bits, from 0 to 32"),
        ({"distance": 1.5}, "distance=1.5"),
        ({"cosine": 1.1}, "cosine=1.1: expected a number from -1 to 1"),
        ({"correlation": float("nan")}, "correlation=nan"),
        ({"detail": 2}, "detail=2: expected a number from -1 to 1"),
    ],
)
def test_thresholds_out_of_range(options, message):
    with pytest.raises(ResnexusError, match=message):
        Thresholds(**options)
