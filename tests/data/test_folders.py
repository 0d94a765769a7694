import os
import re
from pathlib import Path

import pytest

from resnexus.data.folders import find_images, ignored_note
from resnexus.data.images import SUFFIXES
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
    ignored = ["train/a/notes.txt", "val/b/Thumbs.db", "val/stray.jpg"]
    assert [os.path.relpath(path, tmp_path) for path in found.ignored] == ignored


def test_linked_images_are_found(tmp_path):
    make(tmp_path, *GOOD)
    (tmp_path / "train/a/2.jpg").symlink_to(tmp_path / "train/b/1.jpg")
    assert len(find_images(tmp_path).train["a"]) == 2


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ([], r"no class folders in it; expected .*/train/CLASS/\*\.jpg and .*/val/CLASS/\*\.jpg, or .*/CLASS/\*\.jpg"),
        (["val/a/1.jpg", "val/b/1.jpg"], "no folder train/ in it; expected"),
        (["a/1.jpg", "b/1.jpg", "b/2.jpg"], "only one image of 'a'; without train/ and val/ every class needs two"),
        (["a/1.jpg", "a/2.jpg"], "only one class, 'a'; classification needs at least two"),
        (["a/1.jpg", "b/"], "no images in .*/b: they end in"),
        (["train/a/1.jpg", "train/b/1.jpg"], "no folder val/ in it"),
        (["train/1.jpg", "val/a/1.jpg"], "train: no class folders in it; expected"),
        (["train/a/1.jpg", "val/a/1.jpg"], "only one class, 'a'; classification needs at least two"),
        ([*GOOD, "val/c/1.jpg"], "val/ has classes that train/ lacks: 'c'; both need them all"),
        ([*GOOD, "train/c/1.jpg"], "train/ has classes that val/ lacks: 'c'"),
        ([*GOOD, *(f"val/{i}/1.jpg" for i in range(15))], "'11' and 3 more; both need them all"),
        ([*GOOD, "train/c/", "val/c/1.jpg"], r"no images in .*/train/c: they end in \.jpg, \.jpeg"),
        (
            [*GOOD, "train/c/1.heic", "train/c/2.HEIC", "train/c/x", "val/c/1.heic"],
            r"no images in .*/train/c; ignored 2 \.heic, 1 without suffix; images are in class folders",
        ),
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


def test_a_folder_of_class_folders_is_split(tmp_path):
    make(
        tmp_path,
        *(f"{name}/{number}.jpg" for name, count in (("b", 25), ("a", 8), ("c", 2)) for number in range(count)),
    )
    found = find_images(tmp_path)
    assert found.classes == ("a", "b", "c")
    assert {name: len(paths) for name, paths in found.train.items()} == {"a": 6, "b": 20, "c": 1}
    assert {name: len(paths) for name, paths in found.val.items()} == {"a": 2, "b": 5, "c": 1}
    for name, count in (("a", 8), ("b", 25), ("c", 2)):
        both = sorted(found.train[name] + found.val[name])
        assert both == sorted(str(tmp_path / name / f"{number}.jpg") for number in range(count))
    assert found.split == "no train/ and val/ in it: 20% of every class, drawn at random with seed 0, validate"
    assert [Path(path).name for path in found.val["b"]] == ["2.jpg", "10.jpg", "16.jpg", "17.jpg", "23.jpg"]
    assert find_images(tmp_path) == found


def test_the_fraction_held_out_can_be_chosen(tmp_path):
    make(tmp_path, *(f"{name}/{number}.jpg" for name in "ab" for number in range(10)))
    found = find_images(tmp_path, val_fraction=0.5)
    assert [len(paths) for paths in (*found.train.values(), *found.val.values())] == [5, 5, 5, 5]
    assert found.split.startswith("no train/ and val/ in it: 50% of every class")
    for fraction in (0, 1, 1.5, -0.1):
        with pytest.raises(ResnexusError, match=f"val_fraction={fraction}: expected a number above 0 and below 1"):
            find_images(tmp_path, val_fraction=fraction)


def test_a_fraction_is_refused_where_the_folders_say(tmp_path):
    make(tmp_path, *GOOD)
    assert find_images(tmp_path).split == ""
    with pytest.raises(ResnexusError, match=r"val_fraction=0\.2 has no effect on .*: it has train/ and val/; leave it"):
        find_images(tmp_path, val_fraction=0.2)


def test_what_is_ignored_is_counted_by_kind(tmp_path):
    make(tmp_path, *GOOD, "train/a/1.heic", "val/b/2.HEIC", "val/b/notes", "train/x.jpg", "train/a/3.avif")
    (tmp_path / "train/a/more.png").symlink_to(tmp_path / "train/b")
    (tmp_path / "val/c").symlink_to("gone")
    found = find_images(tmp_path)
    assert found.classes == ("a", "b")
    assert [os.path.relpath(path, tmp_path) for path in found.train["a"]] == ["train/a/1.jpg", "train/a/3.avif"]
    names = [path.removeprefix(f"{tmp_path}/") for path in found.ignored]
    assert names == ["train/a/1.heic", "train/a/more.png/", "train/x.jpg", "val/b/2.HEIC", "val/b/notes", "val/c"]
    assert ignored_note(found.ignored) == (
        "ignored 2 .heic, 2 without suffix, 1 linked folder, 1 misplaced .jpg; "
        f"images are in class folders and end in {', '.join(SUFFIXES)}"
    )


def test_what_is_no_regular_file_but_called_an_image_is_listed(tmp_path):
    """It becomes an image that cannot be read, which is counted and named; a folder holds images, as any other."""
    make(tmp_path, *GOOD, "train/a/folder.png/2.jpg")
    os.mkfifo(tmp_path / "train/a/pipe.png")
    (tmp_path / "train/a/link.png").symlink_to("gone.png")
    names = [os.path.relpath(path, tmp_path / "train/a") for path in find_images(tmp_path).train["a"]]
    assert names == ["1.jpg", "folder.png/2.jpg", "link.png", "pipe.png"]


def test_names_that_are_not_unicode(tmp_path):
    """The classes are text that any file can hold; the paths are what the system calls the files."""
    root = os.path.join(os.fsencode(tmp_path), b"data\xff")
    for part in (b"train", b"val"):
        for name in (b"a\xfe", b"b\x1b"):
            os.makedirs(os.path.join(root, part, name))
            with open(os.path.join(root, part, name, b"\xfd.jpg"), "wb"):
                pass
    found = find_images(Path(os.fsdecode(root)))
    assert found.classes == (r"a\udcfe", r"b\x1b")
    assert found.val[r"a\udcfe"] == [os.fsdecode(os.path.join(root, b"val", b"a\xfe", b"\xfd.jpg"))]
    os.makedirs(os.path.join(root, b"val", b"b\xff"))
    with pytest.raises(ResnexusError, match=r"no images in .*/data\\udcff/val/b\\udcff: they end") as caught:
        find_images(Path(os.fsdecode(root)))
    assert str(caught.value).isprintable()


def test_two_classes_that_print_alike(tmp_path):
    for name in (b"a\xff", rb"a\udcff"):
        os.makedirs(os.path.join(os.fsencode(tmp_path), name))
        with open(os.path.join(os.fsencode(tmp_path), name, b"1.jpg"), "wb"):
            pass
    with pytest.raises(ResnexusError, match=r"two class folders print as 'a\\\\udcff'; rename one"):
        find_images(tmp_path)
