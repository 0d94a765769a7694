"""The classes of ImageNet-1k are torchvision's, and every published checkpoint names them."""

import pytest

from resnexus.series.checkpoints import checkpoints
from resnexus.series.imagenet import imagenet_classes


def test_the_names_are_torchvisions():
    meta = pytest.importorskip("torchvision.models._meta", reason="torchvision is the reference for the names")
    assert list(imagenet_classes()) == meta._IMAGENET_CATEGORIES
    assert len(set(imagenet_classes())) == 1000


def test_every_checkpoint_names_them():
    assert {record.classes for record in checkpoints().values()} == {imagenet_classes()}
