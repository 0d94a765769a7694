import os
import tarfile
from contextlib import closing
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from resnexus import ResnexusError
from resnexus.distillation.pictures import Listed, Manifested, Picture, in_shards, summary
from resnexus.prediction.inputs import Lines, Member
from resnexus.prediction.manifest import write_manifest


def test_pictures_are_numbered_with_their_whole_paths(pool_folder, monkeypatch):
    monkeypatch.chdir(pool_folder.parent)
    pool = Listed([pool_folder.name])
    found = list(pool)
    assert [picture.id for picture in found] == list(range(10))
    assert [picture.uri for picture in found] == [str(pool_folder / f"{number}.png") for number in range(10)]
    assert [picture.size for picture in found] == [os.path.getsize(picture.uri) for picture in found]
    assert pool.ignored == 1


def test_the_members_of_a_tar_file_are_pictures(pool_folder, tmp_path):
    with tarfile.open(tmp_path / "some.tar", "w") as tar:
        for number in (1, 0):
            tar.add(pool_folder / f"{number}.png", f"{number}.png")
    found = list(Listed([tmp_path / "some.tar", pool_folder / "2.png"]))
    assert [picture.uri.rpartition(":")[2] for picture in found[:2]] == ["1.png", "0.png"]
    assert [picture.id for picture in found] == [0, 1, 2]
    member = found[0].source
    assert isinstance(member, Member)
    content = (pool_folder / "1.png").read_bytes()
    assert (tmp_path / "some.tar").read_bytes()[member.offset :][: member.size] == content


def test_a_file_by_its_address_is_the_picture_of_that_name(tmp_path):
    path = tmp_path / "100%25.png"
    (found,) = Listed([f"file://{path}"])
    assert found.source == str(path)


def test_a_list_and_a_manifest_are_the_same_pool(pool_folder, tmp_path):
    pytest.importorskip("pyarrow")
    write_manifest([pool_folder], tmp_path / "manifest", shard_images=4)
    with closing(Lines(BytesIO(f"{pool_folder}\n".encode()))) as named:
        assert list(Listed(named)) == list(Manifested(tmp_path / "manifest")) == list(Listed([pool_folder]))


def test_another_pool_has_another_digest(pool_folder, tmp_path):
    first = summary(Listed([pool_folder]))
    assert first.pictures == 10
    assert summary(Listed([pool_folder])) == first
    assert summary(Listed([pool_folder / f"{number}.png" for number in range(9, -1, -1)])).digest != first.digest
    (tmp_path / "a.png").write_bytes(b"1")
    before = summary(Listed([tmp_path])).digest
    (tmp_path / "a.png").write_bytes(b"12")
    assert summary(Listed([tmp_path])).digest != before
    (tmp_path / "a.png").write_bytes(b"1")
    assert summary(Listed([tmp_path])).digest == before
    (tmp_path / "a.png").rename(tmp_path / "b.png")
    assert summary(Listed([tmp_path])).digest != before


def test_shards_are_cut_in_order(pool_folder):
    found = list(in_shards(Listed([pool_folder]), 4))
    assert [(shard, [picture.id for picture in pictures]) for shard, pictures in found] == [
        (0, [0, 1, 2, 3]),
        (1, [4, 5, 6, 7]),
        (2, [8, 9]),
    ]


def test_what_cannot_be_found_again_is_no_pool():
    with pytest.raises(ResnexusError, match="a pool consists of files and addresses"):
        list(Listed([Image.fromarray(np.zeros((3, 3, 3), np.uint8))]))
    with closing(Lines(BytesIO(b""))) as nothing, pytest.raises(ResnexusError, match="no picture: the list is empty"):
        summary(Listed(nothing))


def test_an_error_is_one_of_the_codes():
    with pytest.raises(ResnexusError, match=r"unknown error code 'damage': did you mean 'damaged'"):
        Picture(id=0, uri="a", error="damage")
