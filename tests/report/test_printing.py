import pytest

from resnexus.report.printing import counted, decimals_for, flops_unit, listed, number, parameters_unit, percent, signed


@pytest.mark.parametrize(
    ("value", "decimals", "printed"),
    [(1234.567, 1, "1,234.6"), (-0.5, 2, "−0.50"), (None, 2, "–"), (0.0, 0, "0")],
)
def test_number(value, decimals, printed):
    assert number(value, decimals) == printed


@pytest.mark.parametrize(("value", "printed"), [(0.421, "+0.42"), (-1.0, "−1.00"), (0.001, "0.00"), (-0.001, "0.00")])
def test_signed_zero_has_no_sign(value, printed):
    assert signed(value, 2) == printed


def test_percent_of_a_fraction():
    assert percent(0.7939) == "79.39"
    assert percent(None) == "–"


@pytest.mark.parametrize(
    ("values", "decimals"),
    [((0.878, 4.5), 3), ((1.77, 121.6), 2), ((75.3, 559.0), 1), ((240.0, 300.0), 0), ((0.00001,), 4), ((None,), 0)],
)
def test_decimals_show_three_digits_of_the_smallest(values, decimals):
    assert decimals_for(values) == decimals


def test_units_follow_the_largest_network():
    assert flops_unit([0.02, 0.9]).name == "MFLOPs"
    assert flops_unit([0.02, 1.0]).name == "GFLOPs"
    assert parameters_unit([0.3]).factor * 0.3 == pytest.approx(300)
    assert parameters_unit([0.3, 25.0]).name == "M"


def test_words():
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed([]) == ""
    assert (counted(1, "seed"), counted(1437, "image")) == ("1 seed", "1,437 images")
