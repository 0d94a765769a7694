import sys

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="the digits come with scikit-learn: pip install 'resnexus[demo]'")

from resnexus.data.digits import CLASSES, SIZE, load_digits
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


def test_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ResnexusError, match=r"come with scikit-learn.*pip install 'resnexus\[demo\]'"):
        load_digits()
