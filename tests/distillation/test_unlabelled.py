"""Pictures without labels, alone and beside labelled ones."""

import os
import tarfile

import pytest
import torch

from resnexus import ResnexusError
from resnexus.data.augment import Augment
from resnexus.data.batches import BadImage
from resnexus.data.datasets import open_dataset
from resnexus.data.fingerprint import fingerprint
from resnexus.data.labelled import ImageFiles
from resnexus.data.order import Draw
from resnexus.data.preprocess import Preprocess
from resnexus.distillation.pictures import Listed, Picture
from resnexus.distillation.unlabelled import JoinedImages, PoolImages
from resnexus.training.losses import UNLABELLED
from tests.distillation.pictured import CLASSES, folders

PREPARED = {"preprocess": Preprocess(size=8, resize_short=8), "augment": Augment(), "seed": 3}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return folders(tmp_path_factory.mktemp("pictures"))


def test_a_picture_of_a_pool_is_the_picture_without_its_label(place):
    pictures = tuple(Listed([str(place / "pool")]))
    pool = PoolImages(pictures, CLASSES, **PREPARED)
    files = ImageFiles([picture.uri for picture in pictures], [0] * 6, CLASSES, **PREPARED)
    for draw in (Draw(0, 2), Draw(1, 5)):
        (image, label), (same, _) = pool[draw], files[draw]
        assert torch.equal(image, same)
        assert label == UNLABELLED
    assert pool.name(4).endswith("4.png")


def test_a_member_of_a_shard_is_the_file_that_was_put_there(place, tmp_path):
    with tarfile.open(tmp_path / "pool.tar", "w") as archive:
        for number in (0, 1):
            archive.add(place / "pool" / f"{number}.png", arcname=f"{number}.png")
    pictures = tuple(Listed([str(tmp_path / "pool.tar")]))
    pool, files = (PoolImages(some, CLASSES, **PREPARED) for some in (pictures, tuple(Listed([str(place / "pool")]))))
    assert torch.equal(pool[1][0], files[1][0])
    os.truncate(tmp_path / "pool.tar", pictures[1].source.offset + 10)
    assert isinstance(pool[1], BadImage)
    assert pool.bad_images()[0].reason == "the shard ends in it"


def test_a_picture_that_lies_elsewhere_is_named():
    elsewhere = Picture(id=0, uri="https://example.org/cat.png")
    bad = PoolImages([elsewhere], CLASSES, **PREPARED)[0]
    assert (bad.path, bad.reason) == ("https://example.org/cat.png", "it lies elsewhere")


def test_joined_images_are_those_of_their_parts(place):
    labelled = open_dataset(place / "labelled", **PREPARED).train
    pool = PoolImages(tuple(Listed([str(place / "pool")])), CLASSES, **PREPARED)
    joined = JoinedImages(pool, labelled)
    assert len(joined) == 6 + 8
    assert joined.labels.tolist() == [UNLABELLED] * 6 + [0] * 4 + [1] * 4
    assert [joined.name(index) for index in range(14)] == [pool.name(i) for i in range(6)] + list(labelled.paths)
    assert torch.equal(joined[3][0], pool[3][0])
    plain = JoinedImages(*(type(part)(**_plain(part)) for part in (pool, labelled)))
    assert torch.equal(plain[6 + 2][0], PREPARED["preprocess"](labelled.paths[2]))
    assert len({fingerprint(images) for images in (pool, labelled, joined)}) == 3


def _plain(part):
    """The arguments of a data set like another one, without augmentation."""
    common = {"preprocess": PREPARED["preprocess"], "augment": None}
    if isinstance(part, PoolImages):
        return {"pictures": part.pictures, "classes": part.classes, **common}
    return {"paths": part.paths, "labels": part.labels.tolist(), "classes": part.classes, **common}


def test_other_classes_are_not_joined(place):
    pictures = tuple(Listed([str(place / "pool")]))
    one, other = (PoolImages(pictures, classes, **PREPARED) for classes in (CLASSES, ("dog", "cat")))
    with pytest.raises(ResnexusError, match="2 and 2 classes, or others: cannot be joined"):
        JoinedImages(one, other)
