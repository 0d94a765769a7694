import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnexus.errors import ResnexusError
from resnexus.evaluation.intervals import Share, share


def test_wilson_by_hand():
    """10 of 20, z = 1.959964: 0.5 -+ z / (1 + z^2/20) * sqrt(0.25/20 + z^2/1600)."""
    found = share(10, 20)
    z = 1.959963984540054
    half = z / (1 + z * z / 20) * (0.25 / 20 + z * z / 1600) ** 0.5
    assert (found.value, found.low, found.high) == (0.5, pytest.approx(0.5 - half), pytest.approx(0.5 + half))


@pytest.mark.parametrize(("right", "images"), [(0, 1), (1, 1), (0, 30), (29, 30), (7, 360), (39775, 50000)])
def test_wilson_equals_scipy(right, images):
    stats = pytest.importorskip("scipy.stats")
    theirs = stats.binomtest(right, images).proportion_ci(0.95, method="wilson")
    found = share(right, images)
    assert (found.low, found.high) == (pytest.approx(theirs.low, abs=1e-12), pytest.approx(theirs.high, abs=1e-12))


@given(st.integers(1, 10**6), st.floats(0, 1))
def test_the_interval_holds_the_share_and_mirrors(images, part):
    right = round(part * images)
    found, mirrored = share(right, images), share(images - right, images)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.low == pytest.approx(1 - mirrored.high, abs=1e-12)


def test_more_images_are_surer():
    few, many = share(8, 10), share(800, 1000)
    assert few.high - few.low > 5 * (many.high - many.low)


@pytest.mark.parametrize(("right", "images"), [(0, 0), (-1, 3), (4, 3)])
def test_counts_that_do_not_fit(right, images):
    with pytest.raises(ResnexusError, match=rf"images={images}"):
        share(right, images)


def test_a_record_out_of_order_is_refused():
    with pytest.raises(ResnexusError, match=r"low=0\.6, value=0\.5, high=1: expected 0 to 1, in this order"):
        Share(right=1, images=2, value=0.5, low=0.6, high=1)
