import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from resnexus.data.shards import index as module
from resnexus.data.shards.archive import Sample
from resnexus.data.shards.index import Shard, assembled, find_index, read_index, write_index
from resnexus.errors import ResnexusError

FILES = (("1.jpg", b"one"), ("1.cls", b"3"), ("é.jpg", b"two"), ("é.cls", b"0"))


@pytest.fixture
def files(tar, tmp_path):
    return [tar(tmp_path / f"{name}.tar", *FILES) for name in "ab"]


def columns(index):
    return {name: column.tolist() for name, column in index.columns.items()}


def test_an_index_is_read_as_it_was_written(tmp_path):
    odd = b"\xff.jpg".decode("utf-8", "surrogateescape")
    shards = [
        (
            Shard(name="a.tar", bytes=9000, sha256="0f"),
            [Sample(name="é.jpg", label=3, offset=512, size=10, crc32=2**32 - 1)],
        ),
        (Shard(name="b.tar", bytes=5000), [Sample(name=odd, label=0, offset=1024, size=0)]),
    ]
    index = assembled(shards)
    write_index(index, tmp_path / "i")
    found = read_index(tmp_path / "i")
    assert found.shards == index.shards == tuple(shard for shard, _ in shards)
    assert columns(found) == columns(index)
    assert [found.name(0), found.name(1)] == ["é.jpg", odd]
    assert [tuple(found.place(0)), tuple(found.place(1))] == [
        (shards[0][0], 512, 10, 2**32 - 1),
        (shards[1][0], 1024, 0, -1),
    ]
    assert found.part(np.array([1])).name(0) == odd
    assert found.part(np.array([1])).labels.tolist() == [0]


def test_shards_are_scanned_once(files, tmp_path, recorded, monkeypatch):
    first = find_index(tmp_path / "i", files, recorded)
    assert recorded.stages == [(f"indexing {tmp_path}", 2, [1, 1])]
    assert first.labels.tolist() == [3, 0, 3, 0]
    monkeypatch.delattr(module, "scan")
    assert columns(find_index(tmp_path / "i", files, recorded)) == columns(first)
    assert recorded.said == []


@pytest.mark.parametrize("change", ["more", "fewer", "longer", "damaged"])
def test_an_index_of_other_shards_is_said_and_made_anew(files, tar, tmp_path, recorded, change):
    find_index(tmp_path / "i", files, recorded)
    if change == "more":
        files.append(tar(tmp_path / "c.tar", *FILES))
    elif change == "fewer":
        files.pop()
    elif change == "longer":
        files[0].write_bytes(files[0].read_bytes() + bytes(10240))
    else:
        (tmp_path / "i").write_bytes(b"text")
    found = find_index(tmp_path / "i", files, recorded)
    assert len(found) == 2 * len(files)
    assert [name.name for name in found.shards] == [file.name for file in files]
    said = "is no index of shards" if change == "damaged" else "is of other shards than are there now"
    assert len(recorded.said) == 1
    assert said in recorded.said[0]
    assert "scanned anew" in recorded.said[0]
    assert len(read_index(tmp_path / "i")) == len(found)


def test_an_index_that_cannot_be_kept_is_said(files, tmp_path, recorded, monkeypatch):
    def full(index, path):
        raise ResnexusError(f"cannot write {path}: No space left on device")

    monkeypatch.setattr(module, "write_index", full)
    assert len(find_index(tmp_path / "i", files, recorded)) == 4
    assert recorded.said == [
        f"cannot write {tmp_path}/i: No space left on device; the shards will be scanned again next time"
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"shard": [0, 0, 2, 1]},
        {"offset": [511, 2048, 512, 2048]},
        {"offset": [512, 2048, 512, 10**9]},
        {"size": [3, 3, 3, -1]},
        {"size": [3, 3, 3, 2**63 - 1]},
        {"label": [0, -1, 0, 0]},
        {"name_stop": [5, 11, 16, 10**6]},
        {"name_start": [6, 5, 11, 16]},
        {"label": [0.0, 0.0, 0.0, 0.0]},
        {"label": [0, 0, 0]},
        {"label": None},
        {"names": None},
        {"more": [0]},
    ],
    ids=str,
)
def test_an_index_that_points_anywhere_is_refused(files, tmp_path, recorded, change):
    path = tmp_path / "i"
    find_index(path, files, recorded)
    tensors = load_file(path)
    metadata = '{"shards": [{"name": "a.tar", "bytes": 10240, "sha256": ""}, {"name": "b.tar", "bytes": 10240}]}'
    save_file(tensors, path, metadata={"shards": metadata})
    assert len(read_index(path)) == 4
    for name, values in change.items():
        tensors.pop(name, None)
        if values is not None:
            tensors[name] = np.array(values)
    save_file(tensors, path, metadata={"shards": metadata})
    with pytest.raises(ResnexusError, match="is no index of shards: its columns do not fit"):
        read_index(path)


def test_an_index_without_its_shards_is_refused(files, tmp_path, recorded):
    find_index(tmp_path / "i", files, recorded)
    save_file(load_file(tmp_path / "i"), tmp_path / "i")
    with pytest.raises(ResnexusError, match="is not JSON"):
        read_index(tmp_path / "i")
