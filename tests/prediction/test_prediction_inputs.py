import io
import os
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnexus import ResnexusError
from resnexus.prediction.inputs import Address, Lines, Listing, Member, from_uri, member_uri, portable, walked


@pytest.fixture
def tree(tmp_path, monkeypatch):
    for name in ("b/10.png", "b/2.PNG", "a/deep/x.jpg", "a/notes.txt", ".hidden/y.jpg", "odd[1].png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(*items):
    return [found.name for found in Listing(items)]


def test_a_folder_stands_for_its_images_in_natural_order(tree):
    listing = Listing(["."])
    assert [(found.id, found.name) for found in listing] == [
        (0, "./a/deep/x.jpg"),
        (1, "./b/2.PNG"),
        (2, "./b/10.png"),
        (3, "./odd[1].png"),
    ]
    assert listing.ignored == 1
    assert [found.name for found in listing] == names(".")  # it can be listed again
    assert listing.ignored == 1


def test_a_path_is_one_input_whatever_it_is(tree):
    assert names("b/2.PNG", "nowhere.png", "a/notes.txt", "b/2.PNG") == [
        *("b/2.PNG", "nowhere.png", "a/notes.txt", "b/2.PNG")
    ]


def test_patterns_find_files_at_any_depth(tree):
    assert names("b/*") == ["b/2.PNG", "b/10.png"]
    assert names("**/*.jpg") == ["a/deep/x.jpg"]
    assert names("*") == ["a/deep/x.jpg", "b/2.PNG", "b/10.png", "odd[1].png"]
    assert names("odd[1].png") == ["odd[1].png"]  # a file that is there is no pattern


def test_images_in_memory_and_addresses(tree):
    pixels = np.zeros((2, 3, 3), np.uint8)
    items = (pixels, Image.fromarray(pixels), b"abc", io.BytesIO(b"abc"), "https://example.org/a.jpg?b=*", "s3://b/c")
    found = list(Listing(items))
    assert found[0].source is pixels
    assert [one.source for one in found[4:]] == [Address("https://example.org/a.jpg?b=*"), Address("s3://b/c")]
    assert [one.id for one in found] == list(range(6))


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([], "no input: name files"),
        (["*.webp"], r"\*\.webp: the pattern finds nothing"),
        (["bare/**"], r"bare/\*\*: the pattern finds nothing"),
        (["a/deep/../../.hidden/.."], None),
        ([3], "input of type int: expected a path"),
    ],
)
def test_what_names_nothing_is_a_mistake(tree, items, message):
    (tree / "bare" / "folder").mkdir(parents=True)
    if message is None:
        assert names(*items)
        return
    with pytest.raises(ResnexusError, match=message):
        names(*items)


def test_a_folder_without_images_is_a_mistake(tree):
    (tree / "bare").mkdir()
    with pytest.raises(ResnexusError, match=r"bare: no images in it; they end in \.jpg"):
        names("bare")


def test_lines_are_counted_and_read_again(tree):
    expected = ["b/2.PNG", "b/10.png", "nowhere.png", "odd[1].png"]
    with closing(Lines(io.BytesIO(b"b\nnowhere.png\r\n\nodd[1].png"))) as lines:
        for _ in range(2):
            assert [(found.id, found.name) for found in lines] == list(enumerate(expected))


def test_uris_of_a_manifest_lead_to_what_they_were_made_of(tmp_path):
    assert from_uri("/data/a#1:b.jpg", 7) == "/data/a#1:b.jpg"
    assert from_uri(member_uri(tmp_path / "x.tar", 512, "a/b:c#1.jpg"), 7) == Member(f"{tmp_path}/x.tar", 512, 7)
    assert from_uri("s3://bucket/x.tar#1:b", 7) == Address("s3://bucket/x.tar#1:b")
    assert os.fsencode(from_uri("file:///data/%ff%20.jpg", 7)) == b"/data/\xff .jpg"


@pytest.mark.parametrize(
    "path", ["/a.jpg", "/%20.tar", "/x.tar#1:a.jpg", "/x.tar#1:y.tar", os.fsdecode(b"/\xff#2:a.tar")], ids=ascii
)
def test_a_path_is_what_its_uri_stands_for(path):
    portable(path).encode()  # it is UTF-8
    assert from_uri(portable(path), 7) == path
    if path.endswith(".tar"):
        assert from_uri(member_uri(Path(path), 512, "a/b:c#1.jpg"), 7) == Member(path, 512, 7)


def test_a_folder_that_cannot_be_read(tmp_path):
    with pytest.raises(ResnexusError, match=r"cannot read .*nowhere: No such file"):
        list(walked(str(tmp_path / "nowhere")))
