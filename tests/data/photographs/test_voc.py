"""Pascal VOC's folders give the boxes and masks that were written into them."""

import numpy as np
import pytest
from PIL import Image

from resnexus import ResnexusError
from resnexus.data.photographs.photographs import VOID
from resnexus.data.photographs.voc import CLASSES, open_voc
from tests.data.photographs.folders import scenes, write_voc


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_voc(tmp_path_factory.mktemp("data") / "pascal")


@pytest.fixture
def year(tmp_path):
    """The year's folder of one that may be changed."""
    return write_voc(tmp_path / "own") / "VOCdevkit" / "VOC2012"


@pytest.mark.parametrize("part", ["train", "val"])
def test_boxes_are_those_of_the_files(root, part):
    found = open_voc(root, "detection", size=64)
    assert (found.name, found.classes) == ("pascal", CLASSES)
    photographs = getattr(found, part)
    assert len(photographs) == len(list(scenes(part)))
    for index, (_, rectangles) in enumerate(scenes(part)):
        one = photographs.read(index)
        assert one.boxes.tolist() == [[left, top, left + w, top + h] for _, left, top, w, h in rectangles]
        assert [CLASSES[label] for label in one.labels] == [name for name, *_ in rectangles]
        assert (one.classes == VOID).all()


def test_masks_keep_their_borders(root):
    found = open_voc(root, "segmentation", size=64).train
    _, rectangles = list(scenes("train"))[1]
    one = found.read(1)
    assert set(np.unique(one.classes)) == {0, 8, 12, VOID}
    for name, left, top, wide, high in rectangles:
        assert (one.classes[top : top + high, left : left + wide] == CLASSES.index(name) + 1).all()
    assert len(one.boxes) == 0


def test_a_year_is_found_from_either_end(root, year):
    here = open_voc(root / "VOCdevkit" / "VOC2012", "detection", size=64)
    assert (here.name, here.digest) == ("VOC2012", open_voc(root, "detection", size=64).digest)
    (year.parent / "VOC2007").mkdir()
    with pytest.raises(ResnexusError, match=r"one year alone; found 2012, 2007|one year alone; found 2007, 2012"):
        open_voc(year.parents[1], "detection", size=64)
    with pytest.raises(ResnexusError, match=r"expected VOCdevkit/VOC2012 \(or another year.*found none"):
        open_voc(year / "Annotations", "detection", size=64)


def test_difficult_objects_and_classes_of_ones_own(year):
    for path in (year / "Annotations").iterdir():
        path.write_text(path.read_text().replace("dog", "wolf").replace("<difficult>0", "<difficult>1"))
    found = open_voc(year, "detection", size=64)
    assert found.classes == ("cat", "wolf")
    assert found.train.read(0).crowds.tolist() == [True]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda year: (year / "Annotations" / "2007_val_0.xml").write_text("<a>"), "is no annotation of Pascal VOC"),
        (lambda year: (year / "Annotations" / "2007_val_0.xml").unlink(), "2007_val_0.xml is missing"),
        (lambda year: (year / "JPEGImages" / "2007_train_1.jpg").unlink(), "2007_train_1.jpg is missing"),
        (lambda year: (year / "ImageSets" / "Main" / "val.txt").write_text(""), "val.txt names nothing"),
        (lambda year: (year / "ImageSets" / "Main" / "val.txt").unlink(), "is no folder of Pascal VOC"),
    ],
)
def test_what_is_wrong_is_told_when_it_is_opened(year, spoil, message):
    spoil(year)
    with pytest.raises(ResnexusError, match=message):
        open_voc(year, "detection", size=64)


def test_masks_that_are_none(year):
    path = year / "SegmentationClass" / "2007_val_0.png"
    found = open_voc(year, "segmentation", size=64).val
    for mask, message in (
        (np.full((40, 60), 21, dtype=np.uint8), "has pixels of class 21: expected 0 to 20, and 255"),
        (np.zeros((40, 61), dtype=np.uint8), "has another size than its photograph"),
        (np.zeros((40, 60, 3), dtype=np.uint8), "is no mask of Pascal VOC: expected a palette image"),
    ):
        Image.fromarray(mask).save(path)
        with pytest.raises(ResnexusError, match=message):
            found.read(0)
    path.write_bytes(b"no picture")
    with pytest.raises(ResnexusError, match=r"2007_val_0\.png"):
        found.read(0)
