"""COCO's folders give the boxes and masks that were written into them."""

import json

import numpy as np
import pytest

pytest.importorskip("pycocotools", reason="pip install 'resnexus[dense]'")

from resnexus import ResnexusError
from resnexus.data.photographs.coco import open_coco
from resnexus.data.photographs.photographs import VOID
from tests.data.photographs.folders import scenes, write_coco

CLASSES = ("cat", "dog")  # by the numbers of their categories


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_coco(tmp_path_factory.mktemp("data") / "coco")


@pytest.mark.parametrize("part", ["train", "val"])
def test_boxes_are_those_of_the_file(root, part):
    found = open_coco(root, "detection", size=64)
    assert (found.name, found.classes) == ("coco", CLASSES)
    photographs = getattr(found, part)
    assert len(photographs) == len(list(scenes(part)))
    for index, (pixels, rectangles) in enumerate(scenes(part)):
        one = photographs.read(index)
        assert np.abs(one.pixels.astype(int) - pixels).mean() < 8  # but for the JPEG
        assert one.boxes.tolist() == [[left, top, left + w, top + h] for _, left, top, w, h in rectangles]
        assert [CLASSES[label] for label in one.labels] == [name for name, *_ in rectangles]
        assert not one.crowds.any()
        assert (one.classes == VOID).all()


def test_masks_are_classes_of_pixels(root):
    found = open_coco(root, "segmentation", size=64).val
    for index, (_, rectangles) in enumerate(scenes("val")):
        expected = np.zeros((40, 60), dtype=np.uint8)
        for name, left, top, wide, high in rectangles:
            expected[top : top + high, left : left + wide] = CLASSES.index(name) + 1
        assert np.array_equal(found.read(index).classes, expected)


def changed(root, target, change, part="val"):
    """Copy a folder, with the content of one of its files changed."""
    write_coco(target)
    path = target / "annotations" / f"instances_{part}2017.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return target


def test_crowds_and_overlaps_leave_the_class_open(root, tmp_path):
    def crowded(content):
        second = [one for one in content["annotations"] if one["image_id"] == 11]
        second[0]["iscrowd"] = 1
        second[0]["segmentation"] = {"size": [40, 60], "counts": [0, 40 * 10, 40 * 50]}  # ten columns
        twin = dict(second[1], id=99, category_id=17)
        content["annotations"].append(twin)

    one = open_coco(changed(root, tmp_path / "coco", crowded), "segmentation", size=64).val.read(1)
    assert one.crowds.tolist() == [True, False, False]
    assert (one.classes[:, :10] == VOID).all()
    left, top, right, bottom = one.boxes[1].astype(int)
    assert (one.classes[top:bottom, left:right] == VOID).all()  # a cat and a dog at once


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.pop("images"), "is no file of COCO's instances"),
        (lambda content: content["images"][0].pop("height"), "expected images with file_name, height and width"),
        (lambda content: content["annotations"][0].update(category_id=3), "annotations with a bbox and one of the cat"),
        (lambda content: content["categories"][0].update(name="wolf"), "not annotated with the same categories"),
    ],
)
def test_files_that_are_something_else(root, tmp_path, change, message):
    with pytest.raises(ResnexusError, match=message):
        open_coco(changed(root, tmp_path / "coco", change), "detection", size=64)


def test_folders_that_are_laid_out_otherwise(root, tmp_path):
    with pytest.raises(ResnexusError, match=r"expected one file instances_train\*\.json.*none is there"):
        open_coco(tmp_path, "detection", size=64)
    write_coco(tmp_path / "coco")
    (tmp_path / "coco" / "val2017").rename(tmp_path / "coco" / "pictures")
    with pytest.raises(ResnexusError, match="no folder val2017 of photographs, nor images/val2017"):
        open_coco(tmp_path / "coco", "detection", size=64)
    for part in ("train", "val"):
        (tmp_path / "coco" / "images").mkdir(exist_ok=True)
        source = tmp_path / "coco" / ("pictures" if part == "val" else "train2017")
        source.rename(tmp_path / "coco" / "images" / f"{part}2017")
    assert len(open_coco(tmp_path / "coco", "detection", size=64).val) == 3
    (tmp_path / "coco" / "annotations" / "instances_val2014.json").write_text("{}")
    with pytest.raises(ResnexusError, match=r"instances_val2014.json, instances_val2017.json are there"):
        open_coco(tmp_path / "coco", "detection", size=64)


def test_an_image_of_another_size_or_none_is_named(root, tmp_path):
    found = open_coco(changed(root, tmp_path / "coco", lambda c: c["images"][0].update(width=61)), "detection", size=64)
    with pytest.raises(ResnexusError, match=r"000000000010.jpg has 60x40 pixels, and its annotations are of 61x40"):
        found.val[0]
    (tmp_path / "coco" / "val2017" / "000000000011.jpg").unlink()
    with pytest.raises(ResnexusError, match=r"000000000011.jpg"):
        found.val[1]


def test_the_digest_tells_annotations_apart(root, tmp_path):
    def later(content):
        content["annotations"][0]["bbox"][0] += 1

    other = open_coco(changed(root, tmp_path / "coco", later), "detection", size=64)
    assert open_coco(root, "detection", size=64).digest == open_coco(root, "detection", size=32).digest != other.digest
