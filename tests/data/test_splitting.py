import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnexus.data.digits import load_digits
from resnexus.data.splitting import split


@pytest.fixture(scope="module")
def digits():
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn: pip install 'resnexus[demo]'")
    return load_digits()


def test_the_split_is_the_same_everywhere(digits):
    train, val = split(digits[1])
    digest = hashlib.sha256(val.astype("<i8").tobytes()).hexdigest()
    assert digest == "3530be80b9605f4c4adc46d0ee3006a356c16968a8efcc58f24463bc820d5ef9"
    assert (len(train), len(val)) == (1438, 359)


def test_the_split_is_stratified_and_whole(digits):
    labels = digits[1]
    train, val = split(labels)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, val])), np.arange(1797))
    assert (np.diff(train) > 0).all()
    assert (np.diff(val) > 0).all()
    for label in range(10):
        assert (labels[val] == label).sum() == round((labels == label).sum() / 5)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(2, 40), min_size=1, max_size=6), st.floats(0.01, 0.99))
def test_every_class_is_in_both_parts_by_the_fraction(sizes, fraction):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    train, val = split(labels, fraction)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, val])), np.arange(len(labels)))
    for label, size in enumerate(sizes):
        held_out = (labels[val] == label).sum()
        assert 1 <= held_out < size
        assert abs(held_out - size * fraction) <= 0.5 or held_out in (1, size - 1)


def test_a_single_image_trains():
    assert [part.tolist() for part in split(np.array([0]))] == [[0], []]
