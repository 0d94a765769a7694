import os

import pytest
import torch
from PIL import Image

from resnexus.data.augment import Augment
from resnexus.data.batches import BadImage
from resnexus.data.datasets import open_dataset
from resnexus.data.fingerprint import fingerprint
from resnexus.data.lists import class_names
from resnexus.data.preprocess import Preprocess
from resnexus.errors import ResnexusError

SMALL = Preprocess(size=8, resize_short=8)


def write(root, **lists):
    """Write list files, and a grey image for every line that has a path; the grey is 10 x its number."""
    root.mkdir(exist_ok=True)
    for name, lines in lists.items():
        (root / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))
    return root


def pictures(root, *paths):
    for number, path in enumerate(paths, 1):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (10 * number,) * 3).save(root / path)


def grey_of(item):
    image, label = item
    return round(float((image[0, 0, 0] * 0.229 + 0.485) * 255)), label


@pytest.fixture
def listed(tmp_path):
    root = write(
        tmp_path / "flowers",
        train_list=["jpg/a.png 1", "", "jpg/two words.png  0", "jpg/c.png\t1"],
        val_list=["jpg/d.png 0"],
    )
    pictures(root, "jpg/a.png", "jpg/two words.png", "jpg/c.png", "jpg/d.png")
    return root


def test_a_folder_of_lists(listed):
    data = open_dataset(listed, SMALL)
    assert (data.name, data.classes) == ("flowers", ("0", "1"))
    assert [grey_of(data.train[i]) for i in range(3)] == [(10, 1), (20, 0), (30, 1)]
    assert [grey_of(data.val[0]), len(data.val)] == [(40, 0), 1]


def test_the_same_files_by_list_and_by_folder_are_the_same_data_set(tmp_path):
    paths = [f"{part}/{name}/{n}.png" for part in ("train", "val") for name in ("a", "b") for n in range(2)]
    pictures(tmp_path, *paths)
    folders = open_dataset(tmp_path, SMALL)
    lines = [f"{path} {'ab'.index(path.split('/')[1])}" for path in paths]
    write(tmp_path, train_list=lines[:4], val_list=lines[4:], labels=["a", "b"])
    lists = open_dataset(tmp_path, SMALL)
    for part in ("train", "val"):
        assert fingerprint(getattr(lists, part)) == fingerprint(getattr(folders, part))
    assert lists.classes == folders.classes


@pytest.mark.parametrize(
    ("file", "lines"),
    [("labels", ["rose", "pink primrose", "", ""]), ("flowers_label_list", ["1 pink primrose", "0 rose"])],
)
def test_names_of_classes_and_classes_without_an_image(listed, file, lines):
    write(listed, **{file: lines}, train_list=["jpg/a.png 1"])
    assert open_dataset(listed, SMALL).classes == ("rose", "pink primrose")


def test_numbers_may_be_names(tmp_path):
    write(tmp_path, labels=["1", "0"])
    assert class_names(tmp_path / "labels.txt") == ("1", "0")


def test_every_bad_line_is_named_with_its_number(listed):
    write(
        listed,
        labels=["rose", "tulip"],
        train_list=["a.png 0", "a.png", "b.png two", "c.png -1", "d.png 2", " 1", "e.png 1.0", "f.png x", "g.png"],
    )
    with pytest.raises(ResnexusError) as error:
        open_dataset(listed, SMALL)
    assert str(error.value) == (
        f"{listed}/train_list.txt: line 2, 'a.png': no class; line 3, 'b.png two': class 'two' is no whole number from "
        "0; line 4, 'c.png -1': class '-1' is no whole number from 0; line 5, 'd.png 2': class 2 is none from 0 to 1; "
        "line 6, '1': no class; and 3 more. Expected a path and the number of its class"
    )


@pytest.mark.parametrize("named", [{"labels": ["rose", "tulip"]}, {}])
def test_a_class_of_more_digits_than_python_reads_is_a_bad_line(listed, named):
    write(listed, **named, train_list=["a.png 0", f"b.png {'1' * 4301}", f"c.png {'0' * 99}1"])
    with pytest.raises(ResnexusError) as error:
        open_dataset(listed, SMALL)
    shown = f"b.png {'1' * 74}"
    assert str(error.value) == (
        f"{listed}/train_list.txt: line 2, {shown!r}: a class of 4,301 digits, more than 100. Expected a path and the "
        "number of its class"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_list": ["jpg/a.png 0", "jpg/a.png 2"]}, "no image of class 1, and the largest is 2; number the"),
        ({"train_list": ["jpg/a.png 0", f"jpg/a.png {10**30}"]}, "no image of class 1, and the largest is 1000"),
        ({"train_list": ["jpg/a.png 0"]}, "only one class"),
        ({"train_list": [""]}, "train_list.txt: no images in it"),
        (
            {"train_list": ["a.png 0", "b.png 1"]},
            r"none of its first 2 images is there, such as .*flowers/a\.png; path",
        ),
        ({"val_list": ["jpg/d.png 2"]}, "val_list.txt: line 1, 'jpg/d.png 2': class 2 is none of the training list"),
        ({"labels": ["a", "", "b"]}, "labels.txt: line 2 is empty; expected the name of a class"),
        ({"labels": ["a"], "x_label_list": ["a"]}, "labels.txt, x_label_list.txt all name classes"),
    ],
)
def test_lists_that_cannot_be_used(listed, changes, message):
    write(listed, **changes)
    with pytest.raises(ResnexusError, match=message):
        open_dataset(listed, SMALL)


def test_a_list_that_is_missing_and_an_option_without_effect(listed):
    with pytest.raises(
        ResnexusError, match=r"val_fraction=0.5 has no effect on .*flowers: it says what to evaluate on"
    ):
        open_dataset(listed, SMALL, val_fraction=0.5)
    (listed / "val_list.txt").unlink()
    with pytest.raises(ResnexusError, match=r"cannot read .*val_list.txt: No such file"):
        open_dataset(listed, SMALL)


def test_missing_and_damaged_images_are_counted_and_named(listed):
    (listed / "jpg/a.png").unlink()
    (listed / "jpg/c.png").write_bytes(b"text")
    data = open_dataset(listed, SMALL).train
    assert [isinstance(data[i], BadImage) for i in range(3)] == [True, False, True]
    assert [(os.path.relpath(bad.path, listed), bad.reason[:12]) for bad in data.bad_images()] == [
        ("jpg/a.png", "no such file"),
        ("jpg/c.png", "not one of J"),
    ]


def test_names_of_files_that_are_not_unicode(listed):
    odd = os.fsdecode(b"jpg/\xff.png")
    (listed / "jpg/a.png").rename(listed / odd)
    (listed / "train_list.txt").write_bytes(b"\xef\xbb\xbfjpg/\xff.png 0\r\njpg/c.png 1\r\n")
    assert grey_of(open_dataset(listed, SMALL).train[0]) == (10, 0)


CONFIGURATION = """
Arch: {{name: ResNeXt50_32x4d, class_num: 2}}
DataLoader:
  Train:
    dataset:
      name: ImageNetDataset
      image_root: {root}/jpg
      cls_label_path: {root}/train.csv
      delimiter: ","
      relabel: {relabel}
    sampler: {{batch_size: 64}}
  Eval:
    dataset: {{image_root: ./flowers, cls_label_path: ./flowers/val_list.txt}}
Infer: {{PostProcess: {{class_id_map_file: {names}}}}}
"""


@pytest.fixture
def configured(listed, monkeypatch):
    monkeypatch.chdir(listed.parent)
    write(listed, names=["0 rose", "1 tulip"])
    (listed / "train.csv").write_text("a.png,0\ntwo words.png,1\n")

    def configure(relabel="false", names="flowers/names.txt", **changes):
        text = CONFIGURATION.format(root=listed, relabel=relabel, names=names)
        for old, new in changes.items():
            text = text.replace(old, new)
        (listed / "config.yaml").write_text(text)
        return listed / "config.yaml"

    return configure


def test_a_configuration_of_paddleclas(configured):
    data = open_dataset(configured(), SMALL)
    assert (data.name, data.classes) == ("config", ("rose", "tulip"))
    assert [grey_of(data.train[i]) for i in range(2)] == [(10, 0), (20, 1)]
    assert grey_of(data.val[0]) == (40, 0)
    assert open_dataset(configured(names="null"), SMALL).classes == ("0", "1")


def test_classes_are_numbered_anew_where_the_configuration_says_so(configured, listed):
    (listed / "train.csv").write_text("a.png,70\ntwo words.png,5\n")
    (listed / "val_list.txt").write_text("jpg/d.png 70\n")
    data = open_dataset(configured(relabel="true"), SMALL)
    assert (data.train.labels.tolist(), data.val.labels.tolist()) == ([1, 0], [1])
    assert data.classes == ("rose", "tulip")
    with pytest.raises(ResnexusError, match=r"line 1, 'a\.png,70': class 70 is none from 0 to 1"):
        open_dataset(configured(), SMALL)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_root": "root"}, "DataLoader.Train.dataset.image_root is missing; expected a path"),
        ({"Eval": "Test"}, r"DataLoader\.Eval\.dataset is missing"),
        ({"/jpg": "/png"}, r"image_root .*/png of .*train\.csv: no such folder"),
        ({"class_num: 2": "class_num: 3"}, r"class_num is 3, and flowers/names\.txt names 2 classes"),
        ({"class_num: 2": "class_num: many"}, "class_num='many': expected a number from 2 to 1,000,000"),
        ({'","': "7"}, "delimiter=7: expected text"),
        ({"false": "1"}, "relabel=1: expected true or false"),
        ({"Infer: {": "Infer: ["}, r"config\.yaml is not YAML: "),
        ({"class_num: 2": "class_num: 2020-13-45"}, r"config\.yaml is not YAML: month must be in 1..12"),
    ],
)
def test_configurations_that_cannot_be_used(configured, changes, message):
    with pytest.raises(ResnexusError, match=message):
        open_dataset(configured(**changes), SMALL)


def test_aliases_that_stand_for_more_than_fits_in_memory(configured):
    bomb = ", ".join(f"&b{level} [{', '.join([f'*b{level - 1}'] * 10)}]" for level in range(1, 12))
    config = configured(**{'","': f"[&b0 [x], {bomb}]"})
    with pytest.raises(ResnexusError, match=r"delimiter=.*: expected text, such as a space") as caught:
        open_dataset(config, SMALL)
    assert len(str(caught.value)) < 1000


def test_lists_are_augmented_to_train_only(listed):
    data = open_dataset(listed, SMALL, Augment(), seed=3)
    assert data.train.augment == Augment()
    assert (data.train.seed, data.val.augment) == (3, None)
    assert torch.equal(data.val[0][0], SMALL(listed / "jpg/d.png"))
