"""The search for the fewest layers to put back."""

import math

import pytest

from resnexus.quantisation.control import fewest_put_back

LAYERS = [f"layer{number}" for number in range(20)]


def search(enough):
    """Search where `enough` layers must be put back; return what was found and how often it was tried."""
    tried, asked = [], []

    def attempt(put_back):
        assert list(put_back) == LAYERS[: len(put_back)], "the most sensitive come first"
        tried.append(len(put_back))
        return len(put_back)

    def order():
        asked.append(True)
        return LAYERS

    return fewest_put_back(attempt, lambda count: count >= enough, order), tried, asked


@pytest.mark.parametrize("enough", range(20))
def test_the_fewest_are_found_in_few_attempts(enough):
    found, tried, asked = search(enough)
    assert found == enough
    assert len(tried) == len(set(tried)) <= 2 * math.log2(len(LAYERS)) + 2
    assert len(asked) == (enough > 0), "the order is measured only if it is needed"


def test_one_layer_stays_in_int8():
    found, tried, _ = search(20)
    assert found is None
    assert max(tried) == 19


@pytest.mark.parametrize("count", [0, 1])
def test_with_one_layer_nothing_can_be_put_back(count):
    tried = []
    found = fewest_put_back(tried.append, lambda _: False, lambda: LAYERS[:count])
    assert found is None
    assert tried == [()]
