from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from small_rows import IMAGE_SIZE, ROWS, arranged, record_of, row, weights_of

from resnexus.acceleration.backends.contract import DTYPES, BackendError
from resnexus.acceleration.cuda.choosing import unmeasured
from resnexus.acceleration.cuda.program import Memory, Program
from resnexus.parity.agreement import FLOAT64_TOLERANCE, agreement
from resnexus.rewrites.folding import cast
from tests.sampled import sampled


class Poisoned(Memory):
    """Memory that is never clean: what was not written, and what is dead, is not a number."""

    def __init__(self) -> None:
        self.taken, self.given_back = 0, 0

    def take(self, shape, like):
        self.taken += 1
        return super().take(shape, like).fill_(torch.nan)

    def dead(self, value):
        self.given_back += 1
        value.fill_(torch.nan)


def _images(dtype=torch.float64, count=3):
    images = torch.randn(count, 3, *IMAGE_SIZE, generator=torch.Generator().manual_seed(4))
    return images.to(dtype).contiguous(memory_format=torch.channels_last)


def _program(network, dtype, memory=None, **options):
    found = arranged(network, dtype, **options)
    record = record_of(found)
    return Program(record, weights_of(found), unmeasured(record, ours=False), memory)


@pytest.mark.parametrize("name", ROWS)
def test_nothing_is_read_before_it_is_written_or_after_it_died(name, random_network):
    network, memory = random_network(row(name)), Poisoned()
    program = _program(network, torch.float64, memory)
    images = _images()
    kept = images.clone()
    (logits,) = program(images)
    with torch.no_grad():
        assert agreement(network(kept), logits).within(FLOAT64_TOLERANCE)
    assert torch.equal(images, kept)  # and nothing was written over them
    assert memory.taken > 0
    # Every value of the record but images and logits came to an end.
    assert memory.given_back == len({step.out.value for step in program.record.steps}) - 1


@pytest.mark.parametrize("multiple", [8, 16])
@pytest.mark.parametrize("name", sampled(["res2", "res2, vd"], ["res2, vd"]))
def test_widths_of_res2_blocks_are_filled_up_to_a_multiple(name, multiple, random_network):
    wide = replace(row(name), width=26 if name == "res2" else 7)
    network, memory, images = random_network(wide), Poisoned(), _images()
    rewrites = ("fold_batch_norm", f"res2_aligned_widths_{multiple}")
    program = _program(network, torch.float64, memory, rewrites=rewrites)
    parts = {step.x.channels for step in program.record.steps if step.kernel == 3 and step.x.first > 0}
    expected = {26: {8: {32, 56}, 16: {32, 64}}, 7: {8: {8, 16}, 16: {16}}}
    assert parts == expected[wide.width][multiple]
    (logits,) = program(images)
    with torch.no_grad():
        assert agreement(network(images), logits).within(FLOAT64_TOLERANCE)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize("name", sampled(ROWS, ["vd", "se, basic", "resnext", "res2, vd"]))
def test_half_precision_is_no_further_off_than_that_of_the_network_as_it_is(name, precision, random_network):
    dtype, network = DTYPES[precision], random_network(row(name))
    single = cast(network, torch.float32)
    images = _images(torch.float32, 16)
    with torch.no_grad():
        expected = network(images.double())
        own = agreement(expected, cast(single, dtype)(images.to(dtype)))
    (logits,) = _program(single, dtype)(images.to(dtype))
    found = agreement(expected, logits)
    assert found.max_rel <= 1.5 * own.max_rel
    assert found.max_rel > 1e-5  # it was half precision


@pytest.mark.parametrize("fill", [torch.nan, torch.inf])
@pytest.mark.parametrize("name", ["se", "res2, vd"])
def test_an_image_changes_no_other(name, fill, random_network):
    program = _program(random_network(row(name)), torch.float64)
    images = _images()
    (expected,) = program(images)
    images[1, :, 5, 7] = fill
    (logits,) = program(images)
    assert torch.equal(logits[[0, 2]], expected[[0, 2]])
    assert not logits[1].isfinite().all()


def test_every_step_needs_a_way(random_network):
    found = arranged(random_network(row("vd")), torch.float64)
    record = record_of(found)
    with pytest.raises(BackendError, match=rf"1 ways for {len(record.steps)} steps"):
        Program(record, weights_of(found), unmeasured(record, ours=False)[:1])
