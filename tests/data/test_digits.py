import hashlib
import sys

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="the digits come with scikit-learn: pip install 'resnexus[demo]'")

from resnexus.data.digits import CLASSES, SIZE, load_digits, split
from resnexus.errors import ResnexusError


@pytest.fixture(scope="module")
def digits():
    return load_digits()


def test_the_images(digits):
    from sklearn.datasets import load_digits as bundled

    images, labels = digits
    assert images.shape == (1797, SIZE, SIZE, 1)
    assert (images.dtype, labels.dtype) == (np.uint8, np.int64)
    assert images.flags.writeable
    assert len(np.unique(images)) == 17
    assert images.max() == 255
    np.testing.assert_array_equal(np.rint(images[..., 0] * (16 / 255)), bundled().images)
    assert [CLASSES[label] for label in labels[:5]] == list("01234")


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


def test_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ResnexusError, match=r"come with scikit-learn.*pip install 'resnexus\[demo\]'"):
        load_digits()
