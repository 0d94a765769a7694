import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnexus.data.datasets import open_dataset
from resnexus.data.labelled import Splits, StoredImages
from resnexus.data.shards import writing
from resnexus.data.shards.archive import scan
from resnexus.data.shards.index import read_index
from resnexus.data.shards.writing import write_shards
from resnexus.errors import ResnexusError


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_written(folders, sharded):
    assert sorted(contents(sharded)) == [
        "classes.json",
        "sharding.json",
        *(f"train-00000{number}.tar" for number in range(3)),
        "train.index.safetensors",
        "val-000000.tar",
        "val-000001.tar",
        "val.index.safetensors",
    ]
    assert json.loads((sharded / "classes.json").read_text()) == {"classes": ["cat", "dog"]}
    index = read_index(sharded / "train.index.safetensors")
    assert [shard.sha256 for shard in index.shards] == [
        hashlib.sha256((sharded / shard.name).read_bytes()).hexdigest() for shard in index.shards
    ]
    images = open_dataset(folders).train
    for number in range(7):
        place = index.place(number)
        whole = (sharded / place.shard.name).read_bytes()
        with open(images.source(number), "rb") as file:
            assert whole[place.offset : place.offset + place.size] == file.read()


def test_shards_are_as_full_as_the_limit_allows(folders, tmp_path, recorded):
    data = open_dataset(folders)
    # Two headers, a label of one block, and the picture in whole blocks.
    sizes = [3 * 512 + -(-Path(path).stat().st_size // 512) * 512 for path in data.train.paths]
    found = write_shards(data, tmp_path / "a", shard_bytes=sum(sizes[:3]), progress=recorded)
    assert len(scan(tmp_path / "a/train-000000.tar")) == 3
    assert found.images == (7, 4)
    assert recorded.stages[0][:2] == ("writing train shards", 7)
    assert [sum(steps) for _, _, steps in recorded.stages] == [7, 4]
    write_shards(data, tmp_path / "b", shard_bytes=sum(sizes[:3]) - 1)
    assert len(scan(tmp_path / "b/train-000000.tar")) == 2
    write_shards(data, tmp_path / "c", shard_bytes=1)
    assert {len(scan(path)) for path in (tmp_path / "c").glob("*.tar")} == {1}


@pytest.mark.parametrize("stop", range(12))
def test_an_interruption_anywhere_leaves_whole_shards_and_the_same_in_the_end(
    folders, sharded, tmp_path, monkeypatch, stop, small
):
    out, data = tmp_path / "out", open_dataset(folders)
    done = 0
    read = writing._content

    def interrupted(images, image):
        nonlocal done
        done += 1
        if done > stop:
            raise KeyboardInterrupt
        return read(images, image)

    monkeypatch.setattr(writing, "_content", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_shards(data, out, shard_images=3)
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []
    for path in out.glob("*.tar"):
        assert contents(sharded)[path.name] == path.read_bytes()
    if stop:
        with pytest.raises(ResnexusError, match=r"its writing was interrupted|no class folders"):
            open_dataset(out, small)
    monkeypatch.setattr(writing, "_content", read)
    whole = {path: path.stat().st_mtime_ns for path in out.glob("*.tar")}
    write_shards(data, out, shard_images=3)
    assert contents(out) == contents(sharded)
    assert all(path.stat().st_mtime_ns == time for path, time in whole.items())  # they were not written again


def test_a_folder_of_something_else_is_refused(folders, sharded, tmp_path):
    data = open_dataset(folders)
    with pytest.raises(ResnexusError, match="holds shards of other images or of another size: give another folder"):
        write_shards(data, sharded, shard_images=2)
    with pytest.raises(ResnexusError, match="is not empty: give another folder"):
        write_shards(data, folders)
    (sharded / "train-000001.tar").write_bytes((sharded / "train-000002.tar").read_bytes())
    with pytest.raises(ResnexusError, match=r"train-000001\.tar does not hold image 3 and those after it: remove it"):
        write_shards(data, sharded, shard_images=3)
    for option in ("shard_bytes", "shard_images"):
        with pytest.raises(ResnexusError, match=f"{option}=0: expected at least 1"):
            write_shards(data, tmp_path / "new", **{option: 0})
    assert not (tmp_path / "new").exists()


def test_an_image_that_cannot_be_read_is_named(folders, tmp_path):
    data = open_dataset(folders)
    data.train.paths = (*data.train.paths[:2], f"{tmp_path}/gone.jpg", *data.train.paths[3:])
    with pytest.raises(ResnexusError, match=r"cannot read image .*gone\.jpg: no such file"):
        write_shards(data, tmp_path / "out")
    assert list((tmp_path / "out").glob("*.tar")) == []


def test_digits_are_no_files(tmp_path):
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn")
    with pytest.raises(ResnexusError, match="digits lies in memory, not in files"):
        write_shards(open_dataset("digits"), tmp_path)


class Named(StoredImages):
    """Images in memory under names of their own."""

    def __init__(self, images, small):
        super().__init__([0, 1] * (len(images) // 2), ("a", "b"), preprocess=small)
        self.images = images

    def name(self, index):
        return self.images[index][0]

    def source(self, index):
        return self.images[index][1]

    identity = name


def test_names_that_tell_no_format(folders, tmp_path, small):
    photo = (folders / "train/cat/0.jpg").read_bytes()
    array = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)

    def write(*images):
        data = Named(images, small)
        write_shards(
            Splits(name="n", classes=("a", "b"), train=data, val=data, preprocess=small), tmp_path / str(len(images))
        )
        return read_index(tmp_path / str(len(images)) / "train.index.safetensors")

    index = write(("row 1", photo), ("row 2", array), ("row.PNG", photo), ("row.old", photo))
    assert [index.name(number).partition(".")[2] for number in range(4)] == ["jpg", "png", "png", "jpg"]
    with Image.open(io.BytesIO(open_dataset(tmp_path / "4", small).train.source(1))) as image:
        assert np.array_equal(np.asarray(image), array)
    with pytest.raises(ResnexusError, match="row 1 is not one of JPEG, PNG"):
        write(("row 1", b"text"), ("row 2", photo))
