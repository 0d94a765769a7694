"""Embedded digits as the two folders that a run starts from."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnexus import ResnexusError
from resnexus.data.digits import load_digits
from resnexus.distillation.embedded import EMBEDDED, divided, write_embedded


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    return folder, write_embedded("digits", folder)


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))


def test_a_few_labels_and_the_rest_without(written):
    folder, found = written
    assert (found.labelled, found.val, found.pool) == (100, 360, 1797 - 460)
    assert len(names(folder / "labelled" / "train")) == 100
    assert len(names(folder / "labelled" / "val")) == len(names(folder / "all" / "val")) == 360
    assert len(names(folder / "pool")) == 1337
    assert len(names(folder / "all" / "train")) == 100 + 1337
    assert all(len(list((folder / "labelled" / "train" / str(digit)).iterdir())) == 10 for digit in range(10))


def test_every_picture_is_in_one_place_and_is_the_digit(written):
    images, labels = load_digits()
    places = divided(labels, EMBEDDED["digits"], 0)
    apart = [index for path, index in places.items() if not path.startswith("all/")]
    assert sorted(apart) == list(range(1797))
    folder, _ = written
    for path in ("labelled/train/3/0002.png", "pool/00700.png"):
        assert np.array_equal(np.asarray(Image.open(folder / path)), images[places[path], ..., 0])
    assert all(
        labels[index] == int(Path(path).parts[2]) for path, index in places.items() if not path.startswith("pool/")
    )


def test_the_order_of_the_pool_tells_nothing_of_the_classes():
    _, labels = load_digits()
    places = divided(labels, EMBEDDED["digits"], 0)
    order = [labels[places[path]] for path in sorted(places) if path.startswith("pool/")]
    alike = np.mean(np.array(order[1:]) == np.array(order[:-1]))
    assert 0.05 < alike < 0.15  # a tenth by chance; sorted by class nearly all


def test_it_is_written_once_and_follows_from_the_seed(written, tmp_path):
    folder, found = written
    (folder / "pool" / "00000.png").rename(tmp_path / "kept.png")
    assert write_embedded("digits", folder) == found
    (tmp_path / "kept.png").rename(folder / "pool" / "00000.png")
    _, labels = load_digits()
    assert divided(labels, EMBEDDED["digits"], 1) != divided(labels, EMBEDDED["digits"], 0)


def test_a_class_with_too_few_pictures():
    with pytest.raises(ResnexusError, match="class 0 has 46 pictures: more than 46 needed"):
        divided(np.zeros(46, np.int64), EMBEDDED["digits"], 0)
