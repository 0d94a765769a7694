import os
import re
from pathlib import Path

import pytest

from resnexus.data.folders import find_images
from resnexus.errors import ResnexusError


def make(root, *paths):
    """Create empty files; a path that ends in / is an empty folder."""
    for path in paths:
        if path.endswith("/"):
            (root / path).mkdir(parents=True, exist_ok=True)
        else:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).touch()
    return root


GOOD = ("train/a/1.jpg", "train/b/1.jpg", "val/a/1.jpg", "val/b/1.jpg")


def test_classes_and_files_are_in_natural_order(tmp_path):
    numbers = (10, 2, 1, 33)
    make(tmp_path, *(f"{part}/class{n}/{m}.png" for part in ("train", "val") for n in numbers for m in numbers))
    found = find_images(tmp_path)
    assert found.classes == ("class1", "class2", "class10", "class33")
    assert [Path(path).name for path in found.val["class10"]] == ["1.png", "2.png", "10.png", "33.png"]
    assert list(found.train) == list(found.val) == list(found.classes)


def test_names_that_are_hard_to_sort(tmp_path):
    names = ["1", "01", "a1", "a01", "1a", "٣", "²", "é", "A"]
    make(tmp_path, *(f"{part}/{name}/x.jpg" for part in ("train", "val") for name in names))
    classes = find_images(tmp_path).classes
    assert sorted(classes) == sorted(names)
    assert find_images(tmp_path).classes == classes


def test_suffixes_depth_and_hidden_names(tmp_path):
    make(tmp_path, *GOOD, "train/a/deep/er/2.JPEG", "train/a/3.webp", "train/a/notes.txt", "train/a/.hidden.jpg")
    make(tmp_path, "train/.cache/x.jpg", "train/b/.thumbs/x.jpg", "val/stray.jpg", "val/b/Thumbs.db")
    found = find_images(tmp_path)
    assert found.classes == ("a", "b")
    assert [os.path.relpath(path, tmp_path / "train/a") for path in found.train["a"]] == [
        "1.jpg",
        "3.webp",
        "deep/er/2.JPEG",
    ]
    assert found.train["b"] == [str(tmp_path / "train/b/1.jpg")]
    assert [os.path.relpath(path, tmp_path) for path in found.ignored] == ["train/a/notes.txt", "val/b/Thumbs.db"]


def test_linked_images_are_found(tmp_path):
    make(tmp_path, *GOOD)
    (tmp_path / "train/a/2.jpg").symlink_to(tmp_path / "train/b/1.jpg")
    assert len(find_images(tmp_path).train["a"]) == 2


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ([], r"no folder train/ in it; expected .*/train/CLASS/\*\.jpg and .*/val/CLASS/\*\.jpg"),
        (["a/1.jpg", "b/1.jpg"], "no folder train/ in it"),
        (["train/a/1.jpg", "train/b/1.jpg"], "no folder val/ in it"),
        (["train/1.jpg", "val/a/1.jpg"], "train: no class folders in it; expected"),
        (["train/a/1.jpg", "val/a/1.jpg"], "only one class, 'a'; classification needs at least two"),
        ([*GOOD, "val/c/1.jpg"], "val/ has classes that train/ lacks: 'c'; both need them all"),
        ([*GOOD, "train/c/1.jpg"], "train/ has classes that val/ lacks: 'c'"),
        ([*GOOD, *(f"val/{i}/1.jpg" for i in range(15))], "'11' and 3 more; both need them all"),
        ([*GOOD, "train/c/", "val/c/1.jpg"], r"no images in .*/train/c: they end in \.jpg, \.jpeg"),
        ([*GOOD, "train/c/1.heic", "val/c/1.heic"], "no images in .*/train/c"),
    ],
)
def test_other_layouts_are_refused(tmp_path, paths, message):
    with pytest.raises(ResnexusError, match=f"{re.escape(str(tmp_path))}.*{message}|{message}"):
        find_images(make(tmp_path, *paths))


def test_a_folder_that_cannot_be_read(tmp_path, monkeypatch):
    """Root reads every folder, so the system's refusal is played."""
    make(tmp_path, *GOOD)
    real = os.scandir

    def scandir(path):
        if str(path).endswith("b"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(ResnexusError, match=r"cannot read .*train/b: Permission denied; make it readable"):
        find_images(tmp_path)
