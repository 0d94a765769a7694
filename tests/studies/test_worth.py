from functools import partial

import pytest
import torch

from resnexus import Architecture, ResnexusError, architecture, create_model
from resnexus.acceleration.backends.contract import Job
from resnexus.records import read_json, write_json
from resnexus.rewrites.table import REWRITES, applicable
from studies import worth
from studies.worth import NETWORKS, Worths, measure_worth


def test_every_rewrite_is_measured_on_a_network_it_applies_to():
    assert set(NETWORKS) == set(REWRITES)
    for name, model in NETWORKS.items():
        assert name in applicable(architecture(model)), name


def test_unknown_rewrites_are_said_before_anything_is_measured():
    with pytest.raises(ResnexusError, match="unknown rewrite 'fold_batchnorm': did you mean 'fold_batch_norm'"):
        next(measure_worth((1,), rounds=1, threads=1, rewrites=("fold_batch_norm", "fold_batchnorm")))


@pytest.mark.thorough  # builds with every library
def test_with_and_without_take_turns_in_every_back_end(monkeypatch, tmp_path):
    row = Architecture(
        name="tiny", block="bottleneck", depths=(1,), width=8, groups=4, out_width=32, stem="small", stem_width=8
    )
    torch.manual_seed(2)
    monkeypatch.setattr(worth, "golden_network", lambda _row: create_model(row, num_classes=5).eval())
    monkeypatch.setattr(worth, "SETTLE_S", 0.0)
    monkeypatch.setattr(worth, "Job", partial(Job, image_size=(32, 32)))
    monkeypatch.setattr(worth, "WAYS", (("torch", "fp32"),))
    records = list(measure_worth((1, 2), rounds=2, threads=1, rewrites=("fold_batch_norm", "pack_groups_16")))
    assert [len(record.worths) for record in records] == [1, 2, 3, 4]
    found = records[-1].worths
    assert [(entry.rewrite, entry.batch_size, entry.precision) for entry in found] == [
        (rewrite, size, "fp32") for rewrite in ("fold_batch_norm", "pack_groups_16") for size in (1, 2)
    ]
    for entry in found:
        assert entry.ratio.low <= entry.ratio.median <= entry.ratio.high
        assert entry.with_ms > 0
    write_json(records[-1], tmp_path / "worth.json")
    assert read_json(Worths, tmp_path / "worth.json") == records[-1]
