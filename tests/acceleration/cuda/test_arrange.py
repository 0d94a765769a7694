from __future__ import annotations

from collections import Counter

import pytest
import torch
from small_rows import IMAGE_SIZE, ROWS, arranged, record_of, row, weights_of

from resnexus.acceleration.backends.contract import BackendError
from resnexus.acceleration.cuda.arrange import arrange
from resnexus.acceleration.cuda.choosing import unmeasured
from resnexus.acceleration.cuda.program import Program
from resnexus.acceleration.lowering.lower import lower
from resnexus.acceleration.lowering.operations import Conv, Lowered, Mean, Move, Section, Value
from resnexus.errors import ResnexusError
from resnexus.parity.agreement import FLOAT64_TOLERANCE, agreement, map_agreement
from resnexus.rewrites.folding import fold_batch_norm


def _images(count=3):
    images = torch.randn(count, 3, *IMAGE_SIZE, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    return images.contiguous(memory_format=torch.channels_last)


def _run(found, images):
    record = record_of(found)
    return Program(record, weights_of(found), unmeasured(record, ours=False))(images)


@pytest.mark.parametrize("name", ROWS)
def test_steps_compute_what_the_network_does_in_float64(name, random_network):
    network = random_network(row(name))
    with torch.no_grad():
        expected = network(_images())
    for rewrites in (None, ("fold_batch_norm",)):
        (logits,) = _run(arranged(network, torch.float64, rewrites=rewrites), _images())
        assert agreement(expected, logits).within(FLOAT64_TOLERANCE)


@pytest.mark.parametrize("name", ["vd", "res2, vd"])
def test_feature_maps_at_an_output_stride(name, random_network):
    options = {"features_only": True, "out_indices": (2, 0), "output_stride": 4, "num_classes": None}
    network = random_network(row(name), **options)
    with torch.no_grad():
        expected = network(_images())
    maps = _run(arranged(network, torch.float64), _images())
    assert map_agreement((2, 0), expected, maps).within(FLOAT64_TOLERANCE)


def test_the_bias_of_a_shortcut_goes_into_the_convolution_that_adds_it(random_network):
    network = fold_batch_norm(random_network(row("resnext")))
    found = arrange(lower(network), torch.float64)
    steps = [step for step in found.steps if step.kind == "convolve"]
    bare = [step for step in steps if not step.has_bias]
    assert len(bare) == 2  # one in each stage
    assert all(not step.relu and step.kernel == 1 for step in bare)
    block = next(network.stages[0].children())
    (taker,) = [step for step in steps if step.residual is not None and step.residual.value == bare[0].out.value]
    own, given = block.branch.conv2.conv.bias, block.shortcut.proj.conv.bias
    assert given.abs().min() > 0
    assert torch.equal(found.weights[taker.weights[1]], own + given)


def test_a_gated_block_keeps_the_bias_of_its_shortcut(random_network):
    found = arranged(random_network(row("se")), torch.float64)
    assert all(step.has_bias for step in found.steps if step.kind == "convolve")
    kinds = Counter(step.kind for step in found.steps)
    assert kinds["excite"] == 2
    assert kinds["apply"] == 0  # gates are in the last convolutions of the blocks
    assert [step.squeezed for step in found.steps if step.kind == "excite"] == [6, 12]
    ungated = arranged(random_network(row("se")), torch.float64, rewrites=("fold_batch_norm",))
    assert Counter(step.kind for step in ungated.steps)["apply"] == 2


def test_what_a_res2_block_passes_on_is_written_twice_and_never_copied(random_network):
    found = arranged(random_network(row("res2")), torch.float64)
    assert {step.kind for step in found.steps} == {"convolve", "pool", "classify"}
    entries = [step for step in found.steps if step.copy is not None]
    assert [entry.out.channels for entry in entries] == [24, 24]  # the two blocks of stage 0; that of stage 1 pools
    for entry in entries:
        begins = found.steps.index(entry)
        splits, last = found.steps[begins + 1 : begins + 4], found.steps[begins + 4]
        assert [step.x.first for step in splits] == [0, 6, 12]
        assert [step.addend and step.addend.first for step in splits] == [None, 0, 6]
        assert [(step.out.value, step.out.first) for step in splits] == [(last.x.value, first) for first in (0, 6, 12)]
        assert (entry.copy.value, entry.copy.first, entry.copy.channels) == (last.x.value, 18, 6)
        assert last.x.channels == 24


def test_sums_of_biases_are_rounded_once(random_network):
    network = random_network(row("resnext"), dtype=torch.float32)
    half = arranged(network, torch.float16).weights
    full = arranged(network, torch.float64).weights
    assert half.keys() == full.keys()
    assert all(torch.equal(half[name], full[name].half()) for name in full)


def test_weights_that_do_not_fit_are_refused(random_network):
    network = fold_batch_norm(random_network(row("vd")))
    network.head.weight.data[0, 0] = 1e6
    with pytest.raises(ResnexusError, match=r"a weight of 1e\+06 does not fit torch.float16"):
        arrange(lower(network), torch.float16)


def test_what_no_step_does_is_refused():
    x, y, z = Value("x", (4,), 1), Value("y", (4,), None), Value("z", (4,), 1)
    alone = Section("s", x, y, (Mean(y.whole, x.whole),))
    with pytest.raises(BackendError, match="no mean without a layer over it, as y"):
        arrange(Lowered(x, (y,), (alone,)), torch.float32)
    weight = torch.zeros(4, 4, 1, 1)
    sigmoid = Section("s", x, z, (Conv(z.whole, x.whole, weight, None, activation="sigmoid"),))
    with pytest.raises(BackendError, match="no 'sigmoid' after z"):
        arrange(Lowered(x, (z,), (sigmoid,)), torch.float32)
    gated = Section("s", x, z, (Conv(z.whole, x.whole, weight, None, gate=y.whole, activation="relu"),))
    with pytest.raises(BackendError, match="no gate without a residual, as of z"):
        arrange(Lowered(x, (z,), (gated,)), torch.float32)
    moved = Section("s", x, z, (Move(z.whole, x.whole),))
    with pytest.raises(BackendError, match="moves the last part of a convolution's result, once: not to z"):
        arrange(Lowered(x, (z,), (moved,)), torch.float32)
    parts, half = Value("parts", (2, 2), 1), Value("half", (2,), 1)
    entry = Conv(parts.whole, x.whole, weight, None, activation="relu")
    for index, holds in ((0, False), (1, True)):
        lowered = Lowered(x, (half,), (Section("s", x, half, (entry, Move(half.whole, parts.part(index)))),))
        if holds:
            (step,) = arrange(lowered, torch.float32).steps
            assert (step.copy.first, step.copy.channels) == (0, 2)
        else:
            with pytest.raises(BackendError, match="moves the last part"):
                arrange(lowered, torch.float32)
