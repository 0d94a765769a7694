import pytest

from resnexus import ResnexusError
from resnexus.data.preprocess import Preprocess
from resnexus.prediction.runner import Card


def test_a_card_has_a_name_for_every_class():
    values = {"name": "own", "architecture": "own", "weights": "random", "preprocess": Preprocess()}
    assert Card(num_classes=2, classes=("a", "b"), **values).classes == ("a", "b")
    assert Card(num_classes=2, classes=None, **values).batch_size == 32
    with pytest.raises(ResnexusError, match="own: 2 names for 3 classes"):
        Card(num_classes=3, classes=("a", "b"), **values)
