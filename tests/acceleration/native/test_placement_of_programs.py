from __future__ import annotations

import pytest
import torch

import resnexus
from resnexus.acceleration.backends.contract import BackendError, Job
from resnexus.acceleration.lowering.lower import lower
from resnexus.acceleration.lowering.operations import Conv, Lowered, Mean, Section, Value
from resnexus.acceleration.native.calls import KernelCalls
from resnexus.acceleration.native.packing import LANES
from resnexus.acceleration.native.placement import passes, place
from resnexus.rewrites.folding import fold_batch_norm


def _placed(program: Lowered, job: Job) -> KernelCalls:
    calls = KernelCalls()
    place(program, job, calls)
    return calls


@pytest.fixture(scope="module")
def res2(random_network) -> Lowered:
    row = resnexus.Architecture(
        name="tiny", block="res2", width=26, scale=4, depths=(2, 1), out_width=64, stem_width=16
    )
    return lower(fold_batch_norm(random_network(row)).float())


def test_passes_are_as_large_as_the_caches_allow():
    program = lower(fold_batch_norm(resnexus.create_model("ResNeXt50_32x4d").eval()))
    assert passes(program, Job(batch_size=8)) == [1, 1, 1, 2, 4]
    assert passes(program, Job(batch_size=1)) == [1, 1, 1, 1, 1]
    assert passes(program, Job(batch_size=64, image_size=(32, 32))) == [26, 26, 52, 64, 64]


def test_every_part_begins_at_a_block_of_its_own(res2):
    calls = _placed(res2, Job(batch_size=1, image_size=(33, 47))).calls
    entries = [call.fields["epilogue"]["out"] for call in calls if len(call.fields.get("epilogue", {})) > 0]
    assert {out.cells for out in entries if out.channels == 104} == {(16, 10) * 4}
    assert (16, 10) in {call.fields["in_"].cells for call in calls}


def test_a_result_is_added_where_the_next_one_reads(res2):
    calls = _placed(res2, Job(batch_size=1, image_size=(33, 47))).calls
    chained = [call for call in calls if call.fields.get("epilogue", {}).get("onward") is not None]
    assert len(chained) == 4  # two chains of three convolutions
    for call in chained:
        onward = call.fields["epilogue"]["onward"]
        following = calls[calls.index(call) + 1].fields["in_"]
        assert (onward.buffer, onward.start, onward.cells) == (following.buffer, following.start, following.cells)


def test_only_what_is_convolved_with_a_padding_has_a_border(res2):
    calls = _placed(res2, Job(batch_size=1, image_size=(33, 47))).calls
    for call in calls:
        x = call.fields["in_"]
        three = call.kind in ("winograd", "grouped") or (
            call.kind == "convolution" and len(call.fields["offsets"]) > 200
        )
        if three and x.pixel == LANES and call.fields["depth"] % 9 == 0:
            assert x.buffer.border is not None
        if call.kind in ("mean", "strassen"):
            assert x.buffer.border is None


def test_every_pass_has_the_same_algorithms(random_network):
    row = resnexus.Architecture(
        name="tiny", block="bottleneck", depths=(1,), groups=16, width=16, out_width=256, stem_width=64
    )
    program = lower(fold_batch_norm(random_network(row)).float())
    alone = {call.kind for call in _placed(program, Job(batch_size=1, image_size=(28, 28))).calls}
    assert "strassen" not in alone  # 49 pixels are too few
    job = Job(batch_size=35, image_size=(28, 28))
    assert passes(program, job) == [33, 33]
    products = [call for call in _placed(program, job).calls if call.kind == "strassen"]
    assert [call.fields["in_"].images for call in products] == [33, 2]  # the last two like those before


def test_borders_of_more_than_a_pixel():
    images, x, logits = Value("images", (3,), 1), Value("x", (16,), 1), Value("logits", (16,), None)
    wide = Conv(x.whole, images.whole, torch.zeros(16, 3, 1, 1), None)
    wider = Value("wider", (16,), 1)
    five = Conv(wider.whole, x.whole, torch.zeros(16, 16, 5, 5), None, padding=2)
    program = Lowered(
        images,
        (logits,),
        (
            Section("stem", images, x, (wide,)),
            Section("stages.0", x, wider, (five,)),
            Section("head", wider, logits, (Mean(logits.whole, wider.whole),)),
        ),
    )
    with pytest.raises(BackendError, match="have no border of 2 pixels, which x needs"):
        _placed(program, Job(batch_size=1, image_size=(8, 8)))
