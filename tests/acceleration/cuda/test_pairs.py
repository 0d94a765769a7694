from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from small_rows import IMAGE_SIZE, ROWS, arranged, record_of, row, weights_of

from resnexus.acceleration.cuda.choosing import unmeasured, ways_of
from resnexus.acceleration.cuda.pairs import paired, pairs
from resnexus.acceleration.cuda.program import Program
from resnexus.parity.agreement import FLOAT64_TOLERANCE, agreement


@pytest.mark.parametrize("name", ["resnext", "se"])
def test_pairs_compute_what_their_steps_do(name, random_network):
    # Gates after the projection: those before it read what would be between the two.
    found = arranged(random_network(row(name)), torch.float64, rewrites=("fold_batch_norm",))
    record = record_of(found)
    joined = paired(record, pairs(record))
    assert len(pairs(record)) == sum(ROWS[name]["depths"])
    assert len(joined.steps) == len(record.steps) - len(pairs(record))
    images = torch.randn(2, 3, *IMAGE_SIZE, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    apart, together = (
        Program(entry, weights_of(found), unmeasured(entry, ours=False))(images)[0] for entry in (record, joined)
    )
    assert agreement(apart, together).within(FLOAT64_TOLERANCE)
    assert joined.peak(2, IMAGE_SIZE) <= record.peak(2, IMAGE_SIZE)


def test_a_pair_has_the_window_of_its_first_and_the_end_of_its_second(random_network):
    record = record_of(arranged(random_network(row("resnext")), torch.float64))
    for number, pair in pairs(record).items():
        first, second = record.steps[number : number + 2]
        assert (pair.kernel, pair.stride, pair.groups) == (3, first.stride, 4)
        assert (pair.x, pair.out, pair.residual, pair.relu) == (first.x, second.out, second.residual, True)
        assert pair.weights == (*first.weights, *second.weights)
    some = sorted(pairs(record))[1:]
    assert [step.kind for step in paired(record, some).steps].count("pair") == 2


def test_what_others_read_or_what_is_not_grouped_stays_apart(random_network):
    assert pairs(record_of(arranged(random_network(row("vd")), torch.float64))) == {}
    # The gates read what is between the two.
    assert pairs(record_of(arranged(random_network(row("se")), torch.float64))) == {}
    record = record_of(arranged(random_network(row("resnext")), torch.float64))
    number = min(pairs(record))
    between = record.steps[number].out.value
    assert number not in pairs(replace(record, outputs=(*record.outputs, between)))


@pytest.mark.parametrize(
    ("groups", "channels", "taken"), [(4, 16, True), (32, 128, True), (4, 256, True), (4, 512, False)]
)
def test_the_kernel_takes_packs_of_16_to_64_channels(groups, channels, taken, random_network):
    record = record_of(arranged(random_network(row("resnext")), torch.float64))
    (pair, *_) = pairs(record).values()
    wide = replace(pair, groups=groups, x=replace(pair.x, channels=channels))
    assert ("grouped_pointwise" in {way.name for way in ways_of(wide, ours=True)}) == taken
