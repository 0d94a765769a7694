import shutil
from dataclasses import replace

import pytest
import torch

from resnexus import ResnexusError
from resnexus.data.augment import Augment
from resnexus.distillation import score as module
from resnexus.distillation.cache import ONE_VIEW, RECORD, pictures_name, tensors_name
from resnexus.distillation.pictures import Listed
from resnexus.distillation.score import ScoreSettings, errors, score
from resnexus.distillation.scoring import _kept
from resnexus.prediction.executors import executor_named
from resnexus.prediction.settings import PredictionSettings
from resnexus.records import write_json
from tests.distillation.conftest import SETTINGS


def contents(folder):
    paths = sorted([*folder.glob("cache.json"), *folder.glob("shard-*")])
    return {path.name: path.read_bytes() for path in paths}


def test_what_is_done_is_not_done_again(cache, pool_folder, weights, tmp_path, monkeypatch):
    out = tmp_path / "out"
    shutil.copytree(cache.folder, out)
    (out / pictures_name(1)).unlink()  # as after a kill between the two files
    (out / tensors_name(2)).unlink()
    (out / pictures_name(2)).unlink()
    begun = []
    real = module.score_shard

    def counted(task):
        begun.append(task.shard)
        return real(task)

    monkeypatch.setattr(module, "score_shard", counted)
    again = score(Listed([pool_folder]), str(weights), out, SETTINGS)
    assert begun == [1, 2]
    assert contents(out) == contents(cache.folder)
    assert errors(again) == {"damaged": 1, "empty": 1}
    assert not _kept


@pytest.mark.thorough
def test_processes_write_the_same_bytes(cache, pool_folder, weights, tmp_path):
    pytest.importorskip("pebble")
    score(Listed([pool_folder]), str(weights), tmp_path, SETTINGS, executor=executor_named("local", 2))
    assert contents(tmp_path) == contents(cache.folder)


@pytest.mark.thorough
def test_decoding_in_workers_changes_nothing(cache, pool_folder, weights, tmp_path):
    pytest.importorskip("pebble")
    settings = replace(SETTINGS, asking=replace(SETTINGS.asking, workers=1))
    score(Listed([pool_folder]), str(weights), tmp_path, settings)
    assert contents(tmp_path) == contents(cache.folder)


def test_another_name_of_the_device_goes_on(cache, pool_folder, weights, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    out = tmp_path / "out"
    shutil.copytree(cache.folder, out)
    write_json(replace(cache.record, device="auto"), out / RECORD)
    settings = replace(SETTINGS, asking=replace(SETTINGS.asking, device="auto"))
    assert score(Listed([pool_folder]), str(weights), out, settings).record.device == "auto"
    assert cache.record.device == "cpu"


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"seed": 6}, "seed"),
        ({"views": 2}, "views"),
        ({"augment": Augment(flip=0)}, "augment"),
        ({"image_size": 20}, "preprocess"),
        ({"asking": PredictionSettings(batch_size=4)}, "batch_size"),
        ({"asking": PredictionSettings(batch_size=8, private_addresses=True)}, "private_addresses"),
    ],
)
def test_other_settings_do_not_go_on(cache, pool_folder, weights, change, names):
    with pytest.raises(ResnexusError, match=f"holds a cache of other {names}: give another folder"):
        score(Listed([pool_folder]), str(weights), cache.folder, replace(SETTINGS, **change))


def test_another_pool_does_not_go_on(cache, pool_folder, weights, tmp_path):
    with pytest.raises(ResnexusError, match="holds a cache of other pictures, pool"):
        score(Listed([pool_folder / "0.png"]), str(weights), cache.folder, SETTINGS)
    (tmp_path / "mine.txt").touch()
    with pytest.raises(ResnexusError, match="is not empty: give another folder for the cache"):
        score(Listed([pool_folder]), str(weights), tmp_path, SETTINGS)


def test_a_pool_that_changes_meanwhile(pool_folder, weights, tmp_path):
    class Shrinking:
        ignored, listings = 0, 0

        def __iter__(self):
            self.listings += 1
            return iter(list(Listed([pool_folder]))[: 11 - self.listings])

    with pytest.raises(ResnexusError, match="the pool changed while it was scored: it had 10 pictures"):
        score(Shrinking(), str(weights), tmp_path, SETTINGS)


def test_one_view_is_refused_or_labelled(pool_folder, weights, tmp_path):
    with pytest.raises(ResnexusError, match=r"views=1: one view of each picture: students are known to overfit"):
        ScoreSettings(views=1)
    with pytest.raises(ResnexusError, match="allow_one_view has no effect on views=2"):
        ScoreSettings(views=2, allow_one_view=True)
    settings = replace(SETTINGS, views=1, allow_one_view=True)
    record = score(Listed([pool_folder / "0.png"]), str(weights), tmp_path, settings).record
    assert record.one_view
    assert ONE_VIEW in record.notes


def test_what_is_left_out_follows_from_the_teacher(pool_folder, weights, tmp_path, recorded):
    settings = replace(SETTINGS, topk=None, image_size=20)
    pool = Listed([pool_folder])
    record = score(pool, str(weights), tmp_path, settings, progress=recorded).record
    assert record.topk == record.num_classes == 3
    assert (record.preprocess.size, record.preprocess.resize_short) == (20, 22)
    assert not record.one_view
    assert "passed over 1 file in the folders: no images by their names, or links to folders" in recorded.said
    ((stage, total, steps),) = recorded.stages
    assert (stage, total, steps) == ("scoring", 10, [4, 4, 2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"views": 0}, "views=0: expected a whole number of at least 1"),
        ({"topk": 0}, "topk=0: expected"),
        ({"seed": -1}, "seed=-1: expected"),
        ({"shard_pictures": True}, "shard_pictures=True: expected"),
        ({"image_size": 32, "asking": PredictionSettings(engine="accelerated")}, "the accelerated engine is planned"),
        ({"augment": Augment(erasing=0.1)}, "erasing=0.1"),
    ],
)
def test_settings_out_of_range(options, message):
    with pytest.raises(ResnexusError, match=message):
        ScoreSettings(**options)
