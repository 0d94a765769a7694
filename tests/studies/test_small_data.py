import json
import sys
from dataclasses import replace

import pytest

from resnexus import ResnexusError
from resnexus.architectures.siblings import SIBLINGS
from resnexus.benchmark.environment import environment
from resnexus.records import read_json
from resnexus.weights.checkpoint_file import read_record
from studies import small_data
from studies.shipped import Shipped, digits
from studies.small_data import NETWORKS, SETS, ImageSet, SeedResult, SetResult, SmallData, newest, section

ONE_RATE = {"stage_lr": [], "stage_lr_decay": 1.0}
"""Either says that no stage is slower than another, each over another form of the recipe."""


def few():
    whole = digits()
    return Shipped(pixels=whole.pixels[:200], labels=whole.labels[:200], held_out=whole.held_out[:200])


def test_a_cell_goes_on_where_it_is(tmp_path, monkeypatch):
    pytest.importorskip("sklearn", reason="the digits need scikit-learn: pip install 'resnexus[demo]'")
    own = ImageSet(title="a few digits", images=few, size=8, epochs=2, crops=False)
    monkeypatch.setattr(small_data, "SETS", {"few": own})
    found = small_data.prepared("few", tmp_path)
    assert (found.train_images + found.val_images, found.val_images) == (200, int(few().held_out.sum()))
    top1 = small_data.trained("few", "ResNet_small", 1, tmp_path)
    out = tmp_path / "few" / "ResNet_small-seed1"
    last = read_record(out / "last.safetensors")
    assert (last.recipe["seed"], last.recipe["epochs"], last.recipe["stage_lr_decay"], last.recipe["lr"]) == (
        1,
        2,
        1.0,
        0.008,
    )
    assert last.recipe["label_smoothing"] == 0.1  # of the recipe
    assert top1 == last.metrics["top1"]  # evaluated anew, from the file
    kept = {path: path.stat().st_mtime_ns for path in out.glob("*.safetensors")}
    assert small_data.trained("few", "ResNet_small", 1, tmp_path) == top1
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert len(json.loads((out / "starts.json").read_text())) == 2


def test_larger_images_meet_a_strided_stem():
    assert SETS["digits"].row("ResNet_small") == SIBLINGS["ResNet_small"]
    for name in ("mnist", "textures"):
        assert SETS[name].row("Res2Net_small") == replace(SIBLINGS["Res2Net_small"], stem="conv7")


@pytest.fixture
def record():
    sets = {
        name: SetResult(title=name, train_images=1000, val_images=200, changes={"image_size": 8, "epochs": 3})
        for name in ("one", "two")
    }
    results = tuple(
        SeedResult(data=name, network=network, seed=seed, top1=top1)
        for name, values in (("one", (0.9, 0.92, 0.94)), ("two", (0.5, 0.5, 0.5)))
        for network in ("A_small", "B_small")
        for seed, top1 in enumerate(values if network == "A_small" else values[:1])
    )
    return SmallData(environment=environment(), packages={}, recipe="finetune-small", sets=sets, results=results)


def test_the_table_has_the_mean_and_the_spread(record):
    lines = section(record).splitlines()
    assert lines[2] == "| Network | one (top-1 in %, mean ± s.d.) | two (top-1 in %, mean ± s.d.) |"
    assert lines[4] == "| A\\_small | 92.00 ± 2.00 (3 seeds) | 50.00 ± 0.00 (3 seeds) |"
    assert lines[5] == "| B\\_small | 90.00 (1 seed) | 50.00 (1 seed) |"
    assert "Of one, 1,000 images of 8 x 8 pixels are trained on 3 times, and 200 are held out." in lines[7]


def test_the_record_is_written_as_it_grows(record, tmp_path, monkeypatch):
    path, met = tmp_path / "record.json", []

    def trained(data, network, seed, folder):
        if met:
            assert len(read_json(SmallData, path).results) == len(met)
        met.append((data, network, seed))
        return seed / 4

    monkeypatch.setattr(small_data, "SETS", dict.fromkeys(("one", "two")))
    monkeypatch.setattr(small_data, "prepared", lambda data, folder: record.sets[data])
    monkeypatch.setattr(small_data, "trained", trained)
    monkeypatch.setattr(small_data, "PACKAGES", ("numpy",))
    monkeypatch.setattr(sys, "argv", ["small_data", str(tmp_path), str(path), "--seeds", "2"])
    small_data.main()
    found = read_json(SmallData, path)
    assert [(result.data, result.network, result.seed) for result in found.results] == met
    assert met == [(data, network, seed) for data in ("one", "two") for network in NETWORKS for seed in (0, 1)]
    assert found.sets == record.sets
    assert list(found.packages) == ["numpy"]


def test_what_was_measured_is_whole_and_far_from_chance():
    record = newest()
    assert list(record.sets) == list(SETS)
    for data in SETS:
        for network in NETWORKS:
            own = [result for result in record.results if (result.data, result.network) == (data, network)]
            assert [result.seed for result in own] == [0, 1, 2]
            assert min(result.top1 for result in own) > 0.7, (data, network)
        assert record.sets[data].changes | ONE_RATE == SETS[data].changes | ONE_RATE


def test_fractions_are_fractions():
    with pytest.raises(ResnexusError, match="top1=97: expected a fraction"):
        SeedResult(data="one", network="A", seed=0, top1=97)
