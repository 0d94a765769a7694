import pickle
import shutil
from dataclasses import asdict, replace

import numpy as np
import pytest

from resnexus import ResnexusError
from resnexus.distillation.cache import CacheRecord, SoftLabel, dense, open_cache, pictures_name, tensors_name
from resnexus.records import from_json, to_json
from tests.distillation.conftest import BROKEN


def label(classes, probabilities, rest):
    return SoftLabel(
        seed=1, classes=np.array(classes, np.int32), probabilities=np.array(probabilities, np.float32), rest=rest
    )


def test_the_rest_goes_to_the_other_classes_evenly():
    assert dense(label([3, 0], [0.5, 0.2], 0.3), 5).tolist() == pytest.approx([0.2, 0.1, 0.1, 0.5, 0.1])
    assert dense(label([1, 0], [0.75, 0.25], 0.0), 2).tolist() == [0.25, 0.75]
    with pytest.raises(ResnexusError, match=r"classes \[3, 0\]: expected numbers from 0 to 2"):
        dense(label([3, 0], [0.5, 0.2], 0.3), 3)


def test_a_record_is_read_as_it_was_written(cache):
    assert from_json(CacheRecord, to_json(cache.record), "record") == cache.record
    assert (cache.record.shards, list(cache.record.rows(2)), cache.record.image_size) == (3, [8, 9], 16)
    assert cache.record.class_name(2) == "red"
    assert replace(cache.record, classes=None).class_name(2) == "2"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"views": 0}, "views=0: expected at least 1"),
        ({"topk": 4}, "topk=4: the teacher has 3 classes"),
        ({"views": 1}, "one_view=False, views=1: they do not fit"),
        ({"classes": ("a",)}, "1 names for num_classes=3"),
    ],
)
def test_numbers_that_do_not_fit(cache, change, message):
    with pytest.raises(ResnexusError, match=message):
        replace(cache.record, **change)


def test_rows_and_columns_agree(cache):
    assert len(cache) == 10
    assert cache.features().shape == (10, cache.record.features)
    assert cache.features().dtype == np.float16
    assert cache.leading("plain_classes").tolist() == cache.column("plain_classes")[:, 0].tolist()
    assert np.flatnonzero(~cache.readable()).tolist() == list(BROKEN)
    classes, seeds = cache.column("classes"), cache.column("seeds")
    for index in set(range(10)) - set(BROKEN):
        assert cache.feature(index).tolist() == cache.features()[index].tolist()
        assert cache.soft_label(index).classes.tolist() == cache.column("plain_classes")[index].tolist()
        assert cache.soft_label(index).seed is None
        for view in range(3):
            found = cache.soft_labels(index, view)
            assert found.classes.tolist() == classes[index, view].tolist()
            assert found.seed == seeds[index, view]


def test_what_there_is_not(cache):
    with pytest.raises(ResnexusError, match="picture 3 could not be read"):
        cache.soft_labels(3, 0)
    with pytest.raises(ResnexusError, match="view=3: the cache holds 3 of each picture"):
        cache.soft_labels(0, 3)
    with pytest.raises(ResnexusError, match="picture 10: the cache holds 10"):
        cache.soft_labels(10, 0)
    assert [picture.error for picture in cache.pictures if picture.error] == list(BROKEN.values())


def test_a_copy_in_another_process_reads_the_same(cache):
    cache.features()
    copy = pickle.loads(pickle.dumps(cache))
    assert copy.soft_labels(9, 2).probabilities.tolist() == cache.soft_labels(9, 2).probabilities.tolist()


def test_a_cache_that_is_not_whole(cache, tmp_path):
    with pytest.raises(ResnexusError, match=r"holds no cache.json: write it with `resnexus distill score`"):
        open_cache(tmp_path)
    folder = tmp_path / "copy"
    shutil.copytree(cache.folder, folder)
    (folder / pictures_name(1)).unlink()
    with pytest.raises(ResnexusError, match=r"shard-00001.jsonl is missing: the cache is not whole"):
        open_cache(folder)
    shutil.copy(folder / pictures_name(0), folder / pictures_name(1))
    with pytest.raises(ResnexusError, match=r"shard-00001.jsonl holds other pictures"):
        _ = open_cache(folder).pictures
    shutil.copy(folder / tensors_name(2), folder / tensors_name(1))
    with pytest.raises(ResnexusError, match=r"shard-00001.safetensors holds other shapes"):
        open_cache(folder).features()
    (folder / tensors_name(1)).write_bytes(b"no tensors")
    with pytest.raises(ResnexusError, match=r"cannot read .*shard-00001.safetensors"):
        open_cache(folder).features()


def test_the_record_says_everything_that_answers_depend_on(cache):
    record = asdict(cache.record)
    assert record["preprocess"]["size"] == 16
    assert record["augment"]["crop_area"] == (0.3, 1.0)
    assert set(record["versions"]) == {"resnexus", "torch", "numpy", "pillow"}
    assert len(record["teacher_sha256"]) == len(record["pool"]) == 64
