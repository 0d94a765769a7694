from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_rows import IMAGE_SIZE, ROWS, arranged, record_of, row

import resnexus
from resnexus.acceleration.backends.contract import BackendError
from resnexus.acceleration.cuda.arrange import arrange
from resnexus.acceleration.cuda.steps import Place, ProgramRecord, Step, ValueRecord
from resnexus.acceleration.lowering.lower import lower
from resnexus.architectures.catalog import CATALOG
from resnexus.architectures.network import Network
from resnexus.records import from_json, to_json
from resnexus.rewrites.folding import fold_batch_norm

A, B = Place(value=0, first=0, channels=4), Place(value=1, first=0, channels=4)
VALUES = (ValueRecord(name="images", channels=4, reduction=1), ValueRecord(name="b", channels=4, reduction=1))
POOL = Step(kind="pool", out=B, x=A, kernel=3, padding=1)
RECORD = ProgramRecord(values=VALUES, outputs=(1,), steps=(POOL,), weights="digest")


def test_a_record_is_read_as_it_was_written(random_network):
    record = record_of(arranged(random_network(row("res2")), torch.float32))
    assert from_json(ProgramRecord, to_json(record), where="here") == record


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"outputs": ()}, "without images or without outputs"),
        ({"outputs": (2,)}, r"outputs \(2,\): expected values that a step writes"),
        ({"steps": (replace(POOL, x=replace(A, value=7)),)}, "step 0, pool: .* lies outside of the values"),
        ({"steps": (replace(POOL, x=replace(A, first=2)),)}, "step 0, pool: .* lies outside of the values"),
        ({"steps": (replace(POOL, x=B, out=A),)}, "step 0, pool: reads what no step before it writes"),
    ],
)
def test_records_that_contradict_themselves_are_refused(change, message):
    with pytest.raises(BackendError, match=message):
        replace(RECORD, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stride": 0}, "stride=0: expected at least 1"),
        ({"padding": -1}, "padding=-1: expected at least 0"),
        ({"kind": "convolve"}, "a step 'convolve' with 0 weights"),
        ({"kind": "apply"}, "a step 'apply' without a gate or a residual"),
        ({"copy": A}, "a step 'pool' with a copy: expected some channels of a 1x1 without a gate"),
        ({"kind": "convolve", "weights": ("w",), "copy": A}, "a step 'convolve' with a copy"),
    ],
)
def test_steps_that_contradict_themselves_are_refused(change, message):
    with pytest.raises(BackendError, match=message):
        replace(POOL, **change)


@st.composite
def rows(draw):
    block = draw(st.sampled_from(["basic", "bottleneck", "res2"]))
    fields = {
        "block": block,
        "depths": tuple(draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))),
        "stem": draw(st.sampled_from(["conv7", "deep", "small"])),
        "stem_width": 4,
        "shortcut": draw(st.sampled_from(["conv", "pool"])),
        "se_reduction": draw(st.sampled_from([None, 2])),
        "out_width": 8,
        "width": 8 if block == "basic" else 2,
    }
    if block == "res2":
        fields |= {"scale": draw(st.integers(2, 4)), "cascade": draw(st.sampled_from(["paddle", "authors"]))}
    return resnexus.Architecture(name="tiny", **fields)


@pytest.mark.thorough
@given(rows())
@settings(max_examples=25)
def test_a_value_dies_once_and_after_the_last_that_needs_it(drawn):
    network = Network(drawn, num_classes=3).eval()
    record = record_of(arrange(lower(fold_batch_norm(network)), torch.float32))
    alive, dead = {0}, set()
    peak, now = 0, 0

    def numbers(value):
        return torch.Size(record.values[value].shape(2, IMAGE_SIZE)).numel()

    for step, ending in zip(record.steps, record.deaths(), strict=True):
        used = {place.value for place in (*step.reads(), *step.writes())}
        assert not used & dead
        alive.update(place.value for place in step.writes())
        now = sum(map(numbers, alive))
        peak = max(peak, now)
        assert set(ending) <= used  # as soon as it can
        assert not set(ending) & {0, *record.outputs}
        alive -= set(ending)
        dead |= set(ending)
    assert alive == {0, *record.outputs}
    assert record.peak(2, IMAGE_SIZE) == peak


def test_values_share_memory():
    network = fold_batch_norm(Network(CATALOG["ResNeXt50_32x4d"]).eval())
    record = record_of(arrange(lower(network), torch.float32))
    everything = sum(torch.Size(value.shape(1, (224, 224))).numel() for value in record.values)
    assert record.peak(1, (224, 224)) < 0.2 * everything


@pytest.mark.thorough
def test_every_network_of_the_series_has_steps():
    assert set(ROWS)  # of which the catalogue's are the kinds
    # Networks that differ in nothing but their depth are one.
    shallow = {
        replace(row, name="any", depths=tuple(min(depth, 2) for depth in row.depths)) for row in CATALOG.values()
    }
    assert len(shallow) < len(CATALOG)
    for entry in shallow:
        with torch.device("meta"):
            network = Network(entry)
        record = record_of(arrange(lower(fold_batch_norm(network.eval())), torch.float16))
        assert record.values[record.outputs[0]].channels == 1000
