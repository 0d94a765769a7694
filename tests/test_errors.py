import pytest

from resnexus import ResnexusError, architecture, list_models
from resnexus.errors import nearest, printable, unknown


@pytest.mark.parametrize(
    ("value", "near"),
    [
        ("resnext50", "ResNeXt50_32x4d"),  # not ResNet50_vd, which is spelled more alike
        ("RESNEXT50_VD", "ResNeXt50_vd_32x4d"),
        ("res", "ResNet50_vd"),
        ("re", None),
        ("ResNeXt50_32x4", "ResNeXt50_32x4d"),
        ("ResNeXt51_32x4d", "ResNeXt50_32x4d"),
        ("zzz", None),
        ("", None),
    ],
)
def test_the_nearest_begins_alike_or_is_spelled_alike(value, near):
    assert nearest(value, list_models()) == near


def test_the_shortest_of_those_that_begin_alike_is_meant_whatever_their_order():
    assert nearest("abc", ["abcdef", "abcd", "abce"]) == "abcd"
    assert nearest("abc", ["abce", "abcdef", "abcd"]) == "abce"


def test_an_unknown_name_says_what_is_accepted():
    assert str(unknown("fruit", "aple", ("pear", "apple"))) == (
        "unknown fruit 'aple': did you mean 'apple'? Accepted: apple, pear."
    )
    assert str(unknown("fruit", "x", ("pear", "apple"))) == "unknown fruit 'x': accepted are apple, pear."
    with pytest.raises(ResnexusError, match=r"'resnext50': did you mean 'ResNeXt50_32x4d'\? \d+ names: resnexus list"):
        architecture("resnext50")


def test_what_a_terminal_would_obey_is_escaped():
    assert printable("a\x1b[1m\n\udcff") == "a\\x1b[1m\\n\\udcff"
