import json
import multiprocessing
import os
import pickle
import shutil

import pytest
import torch
from torch.utils.data import DataLoader

from resnexus.data.augment import Augment
from resnexus.data.batches import BadImage, collate
from resnexus.data.datasets import open_dataset
from resnexus.data.fingerprint import fingerprint
from resnexus.data.order import Draw
from resnexus.data.shards import reading
from resnexus.data.shards.reading import OpenFiles
from resnexus.data.shards.writing import write_shards
from resnexus.errors import ResnexusError
from resnexus.evaluation.evaluate import evaluate


def same(one, other, epoch=0):
    """Whether two data sets give the same pixels and labels."""
    draws = [Draw(epoch, image) for image in range(len(one))]
    return len(one) == len(other) and all(
        torch.equal(one[draw][0], other[draw][0]) and one[draw][1] == other[draw][1] for draw in draws
    )


def test_shards_are_the_folders_to_the_bit(folders, sharded, small):
    plain = open_dataset(folders, small, Augment(), seed=3)
    data = open_dataset(sharded, small, Augment(), seed=3)
    assert (data.name, data.classes) == ("shards", ("cat", "dog"))
    assert same(data.train, plain.train, epoch=5)
    assert same(data.val, plain.val)
    assert data.val.augment is None


def test_images_that_are_cut_into_other_shards_are_the_same_data(folders, sharded, tmp_path, small):
    other = tmp_path / "other"
    write_shards(open_dataset(folders), other, shard_bytes=1)
    assert len(list(other.glob("train-*.tar"))) == 7
    for part in ("train", "val"):
        one, two = (getattr(open_dataset(folder, small), part) for folder in (sharded, other))
        assert fingerprint(one) == fingerprint(two)
        assert same(one, two)


def test_a_missing_index_is_made_and_gives_the_same(sharded, small, recorded):
    kept = open_dataset(sharded, small)
    for path in sharded.glob("*.index.safetensors"):
        path.unlink()
    found = open_dataset(sharded, small, progress=recorded)
    assert [stage[:2] for stage in recorded.stages] == [(f"indexing {sharded}", 3), (f"indexing {sharded}", 2)]
    assert fingerprint(found.train) == fingerprint(kept.train)
    assert same(found.train, kept.train)


def test_workers_read_as_this_process_does(sharded, small):
    data = open_dataset(sharded, small, Augment()).train
    here = collate([data[image] for image in range(len(data))])  # files are open when the workers are forked
    context = multiprocessing.get_context("fork")
    batches = list(DataLoader(data, 2, num_workers=2, collate_fn=collate, multiprocessing_context=context))
    assert torch.equal(torch.cat([batch.images for batch in batches]), here.images)
    assert torch.equal(torch.cat([batch.labels for batch in batches]), here.labels)


def test_a_data_set_can_be_pickled(sharded, small):
    data = open_dataset(sharded, small).train
    data[0]
    assert same(pickle.loads(pickle.dumps(data)), data)


def test_few_files_are_open_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(reading.resource, "getrlimit", lambda _: (0, 0))
    files = OpenFiles()
    paths = [tmp_path / str(number) for number in range(20)]
    for number, path in enumerate(paths):
        path.write_bytes(bytes([number]) * 4)
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(2):
        assert [files.read(path, 1, 2) for path in paths] == [bytes([number]) * 2 for number in range(20)]
    assert len(set(os.listdir("/proc/self/fd")) - before) == 8
    del files
    assert set(os.listdir("/proc/self/fd")) <= before


def test_a_system_that_gives_less_than_was_asked_for(sharded, small, monkeypatch):
    data = open_dataset(sharded, small).train
    whole = data.source(0)
    read = os.pread
    monkeypatch.setattr(os, "pread", lambda descriptor, size, offset: read(descriptor, min(size, 100), offset))
    assert data.source(0) == whole


def test_a_shard_that_was_written_anew_under_an_old_index(tar, sharded, small):
    opened = open_dataset(sharded, small).train
    size = opened.index.place(0).size
    tar(sharded / "train-000000.tar", ("000000000.jpg", bytes(size + 1)), ("000000000.cls", b"0"))
    assert opened[0].reason == "the shard holds something else there than was indexed"


def damaged(path, offset, content):
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def test_bad_images_are_counted_and_named_by_shard_and_key(sharded, small, tmp_path):
    opened = open_dataset(sharded, small)
    index = opened.train.index
    damaged(sharded / "train-000000.tar", index.place(1).offset + 300, b"\0\0\0\0")  # a JPEG may decode all the same
    damaged(sharded / "train-000001.tar", index.place(3).offset - 512, b"other")
    with (sharded / "train-000002.tar").open("r+b") as file:
        file.truncate(index.place(6).offset + 10)
    found = [opened.train[image] for image in range(7)]
    assert [isinstance(item, BadImage) for item in found] == [False, True, False, True, False, False, True]
    assert list(map(str, opened.train.bad_images())) == [
        f"{sharded}/train-000000.tar/000000001.jpg: its bytes are not those that were written",
        f"{sharded}/train-000001.tar/000000003.jpg: the shard holds something else there than was indexed",
        f"{sharded}/train-000002.tar/000000006.jpg: the shard ends in it",
    ]
    (sharded / "val-000000.tar").unlink()
    assert str(opened.val[0]) == f"{sharded}/val-000000.tar/000000000.jpg: No such file or directory"
    # What is wrong with the shards is told before a training begins.
    with pytest.raises(ResnexusError, match=r"train-000001\.tar is damaged at byte 0|train-000001\.tar is damaged"):
        open_dataset(sharded, small)


def test_images_that_cannot_be_decoded_are_skipped_by_evaluation(tar, folders, tmp_path, small):
    picture = (folders / "train/cat/0.jpg").read_bytes()
    files = [
        (f"{n}.{suffix}", content) for n in range(4) for suffix, content in (("jpg", picture), ("cls", b"%d" % (n % 2)))
    ]
    tar(tmp_path / "train-0.tar", *files)
    tar(tmp_path / "val-0.tar", *files[:4], ("x.jpg", b"no picture"), ("x.cls", b"0"), ("y.jpg", b""), ("y.cls", b"1"))
    data = open_dataset(tmp_path, small).val
    found = evaluate(lambda images: torch.tensor([[1.0, 0]]).repeat(len(images), 1), data)
    assert (found.top1, found.images) == (0.5, 2)
    assert [bad.path for bad in found.skipped] == [f"{tmp_path}/val-0.tar/x.jpg", f"{tmp_path}/val-0.tar/y.jpg"]
    assert data.bad_images() == found.skipped


def test_shards_of_the_webdataset_library(folders, tmp_path, small):
    webdataset = pytest.importorskip("webdataset", reason="the other side")
    plain = open_dataset(folders, small)
    for part in ("train", "val"):
        images = getattr(plain, part)
        with webdataset.ShardWriter(f"{tmp_path}/some-{part}-%04d.tar", maxcount=3, verbose=0) as writer:
            for number in range(len(images)):
                with open(images.source(number), "rb") as file:
                    content = file.read()
                writer.write({"__key__": f"k{number % 3}", "jpg": content, "cls": int(images.labels[number])})
    data = open_dataset(tmp_path, small)
    assert data.classes == ("0", "1")
    assert same(data.train, plain.train)
    assert same(data.val, plain.val)


@pytest.mark.filterwarnings("ignore:.*unclosed file:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_webdataset_library_reads_ours(sharded, folders, small):
    webdataset = pytest.importorskip("webdataset", reason="the other side")
    plain = open_dataset(folders, small).train
    paths = [str(path) for path in sorted(sharded.glob("train-*.tar"))]
    found = list(webdataset.WebDataset(paths, shardshuffle=False, empty_check=False))
    assert [sample["__key__"] for sample in found] == [f"{number:09d}" for number in range(7)]
    assert [int(sample["cls"]) for sample in found] == plain.labels.tolist()
    for number, sample in enumerate(found):
        with open(plain.source(number), "rb") as file:
            assert sample["jpg"] == file.read()


def test_tar_files_of_other_names_are_divided(sharded, tmp_path, small):
    other = tmp_path / "other"
    other.mkdir()
    for number, path in enumerate(sorted(sharded.glob("*.tar"))):
        shutil.copy(path, other / f"{number}.tar")
    data = open_dataset(other, small)
    assert (len(data.train), len(data.val)) == (9, 2)
    assert data.split == "no train-*.tar and val-*.tar in it: 20% of every class, drawn at random with seed 0, validate"
    assert sorted(data.val.labels.tolist()) == [0, 1]
    assert len(open_dataset(other, small, val_fraction=0.5).val) == 5
    names = {data.train.name(image) for image in range(9)}
    assert not names & {data.val.name(image) for image in range(2)}


def test_shards_beside_class_folders_are_not_read(folders, tmp_path, small):
    shutil.copytree(folders, tmp_path / "both")
    (tmp_path / "both" / "train.tar").write_bytes(b"")
    assert len(open_dataset(tmp_path / "both", small).train) == 7


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("train-000001.tar", r"holds 4 of 7 images to train and 4 of 4 to evaluate on: its writing was interrupted"),
        ("val-*.tar", "holds 7 of 7 images to train and 0 of 4"),
        ("train-*.tar", "holds 0 of 7 images to train and 4 of 4"),
    ],
)
def test_shards_that_are_not_all_there(sharded, small, missing, message):
    for path in sharded.glob(missing):
        path.unlink()
    with pytest.raises(ResnexusError, match=message):
        open_dataset(sharded, small)


def test_folders_of_shards_that_cannot_be_used(sharded, small):
    with pytest.raises(ResnexusError, match=r"val_fraction=0\.5 has no effect on .*shards: it has val-\*\.tar"):
        open_dataset(sharded, small, val_fraction=0.5)
    (sharded / "classes.json").write_text(json.dumps({"classes": ["cat"]}))
    with pytest.raises(ResnexusError, match="only one class"):
        open_dataset(sharded, small)
    (sharded / "classes.json").write_text(json.dumps({"class": ["cat"]}))
    with pytest.raises(ResnexusError, match="unknown field of ClassNames 'class': did you mean 'classes'"):
        open_dataset(sharded, small)


def test_a_class_that_is_not_known(tar, tmp_path, small):
    tar(tmp_path / "train-0.tar", ("1.jpg", b""), ("1.cls", b"0"), ("2.jpg", b""), ("2.cls", b"1"))
    with pytest.raises(ResnexusError, match=r"no images in val-\*\.tar"):
        open_dataset(tmp_path, small)
    tar(tmp_path / "val-0.tar", ("1.jpg", b""), ("1.cls", b"2"))
    with pytest.raises(ResnexusError, match=r"val-0\.tar/1\.jpg: class 2 is none from 0 to 1"):
        open_dataset(tmp_path, small)
    tar(
        tmp_path / "train-0.tar",
        ("1.jpg", b""),
        ("1.cls", b"0"),
        ("2.jpg", b""),
        ("2.cls", b"2"),
        ("3.txt", b"o" * 9999),
    )
    with pytest.raises(ResnexusError, match=r"no image of class 1, and the largest is 2; .* in classes\.json"):
        open_dataset(tmp_path, small)
