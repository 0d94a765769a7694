import math
from dataclasses import FrozenInstanceError

import pytest
import torch

from resnexus.errors import ResnexusError
from resnexus.parity.agreement import FLOAT32_TOLERANCE, FLOAT64_TOLERANCE, agreement, map_agreement

REFERENCE = torch.tensor([[3.0, 4.0], [0.0, 2.0]])


def test_equal_logits_agree_fully():
    found = agreement(REFERENCE, REFERENCE.clone())
    assert (found.max_abs, found.max_rel, found.top1) == (0, 0, 1)
    assert found.cosine == pytest.approx(1, abs=1e-15)
    assert found.within(0)


def test_worked_out_figures():
    other = torch.tensor([[4.0, 3.0], [0.0, 2.5]])
    found = agreement(REFERENCE, other)
    assert found.max_abs == 1
    assert found.max_rel == 1 / 4  # over the largest reference logit, 4
    assert found.cosine == pytest.approx(24 / 25)  # (3 4 + 4 3) / (5 5); the second image's is 1
    assert found.top1 == 1 / 2


def test_the_reference_is_the_first():
    assert agreement(REFERENCE, 2 * REFERENCE).max_rel == 1
    assert agreement(2 * REFERENCE, REFERENCE).max_rel == 1 / 2


def test_differences_below_float32_are_seen():
    reference = torch.tensor([[1.0, 0.5]], dtype=torch.float64)
    found = agreement(reference, reference + 1e-12)
    assert found.max_abs == pytest.approx(1e-12, rel=1e-3)
    assert found.within(FLOAT64_TOLERANCE)
    assert not agreement(reference, reference + 1e-8).within(FLOAT64_TOLERANCE)
    assert agreement(reference, reference + 1e-8).within(FLOAT32_TOLERANCE)


def test_dtypes_may_differ_and_gradients_are_ignored():
    other = REFERENCE.to(torch.bfloat16)
    assert agreement(REFERENCE.requires_grad_(), other).max_abs == 0


def test_the_tolerance_itself_is_within():
    found = agreement(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5, 0.0]]))
    assert found.within(0.5)
    assert not found.within(0.49)


@pytest.mark.parametrize("side", [0, 1])
def test_nan_never_agrees(side):
    logits = [REFERENCE.clone(), REFERENCE.clone()]
    logits[side][1, 0] = math.nan
    found = agreement(*logits)
    assert math.isnan(found.max_abs)
    assert not found.within(math.inf)


def test_a_reference_of_zeros_has_no_scale():
    found = agreement(torch.zeros(1, 2), torch.tensor([[0.0, 0.25]]))
    assert (found.max_abs, found.max_rel, found.cosine) == (0.25, 0.25, 0)


@pytest.mark.parametrize(
    ("first", "second"), [((2, 3), (2, 4)), ((2, 3), (3, 3)), ((3,), (3,)), ((0, 3), (0, 3)), ((1, 2, 3), (1, 2, 3))]
)
def test_other_shapes_are_refused(first, second):
    with pytest.raises(
        ResnexusError, match=r"cannot compare logits of \(.*\) with \(.*\): expected \(N, classes\) twice"
    ):
        agreement(torch.zeros(first), torch.zeros(second))


def test_the_record_is_frozen():
    with pytest.raises(FrozenInstanceError):
        agreement(REFERENCE, REFERENCE).max_abs = 1


def _maps():
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(2, 3, side, side, generator=generator) for side in (8, 4)]


def test_every_map_is_judged_by_its_own_largest_value():
    reference = _maps()
    other = [part.clone() for part in reference]
    other[0][1, 2, 3, 4] += 1e-3 * reference[0].abs().max()
    other[1] *= 1 + 1e-2
    found = map_agreement((1, 3), reference, other)
    assert [part.index for part in found.maps] == [1, 3]
    assert [part.max_rel for part in found.maps] == pytest.approx([1e-3, 1e-2], rel=1e-3)
    assert (found.max_rel, found.max_abs) == (found.maps[1].max_rel, found.maps[1].max_abs)
    assert found.cosine == found.maps[0].cosine < 1
    assert found.top1 is None
    assert found.subject == "map 3"
    assert not found.within(5e-3)
    assert agreement(REFERENCE, REFERENCE).subject == "logits"


@pytest.mark.parametrize("side", [0, 1])
def test_a_map_with_nan_is_the_worst(side):
    pair = [_maps(), _maps()]
    pair[side][0][0, 0, 0, 0] = math.nan
    found = map_agreement((0, 4), *pair)
    assert found.subject == "map 0"
    assert not found.within(math.inf)


def test_maps_that_cannot_be_compared():
    reference = _maps()
    with pytest.raises(ResnexusError, match=r"cannot compare 2 maps with 1: expected those of numbers 1, 2 twice"):
        map_agreement((1, 2), reference, reference[:1])
    with pytest.raises(ResnexusError, match=r"cannot compare map 2 of \(2, 3, 4, 4\) with \(2, 3, 4, 3\)"):
        map_agreement((1, 2), reference, [reference[0], reference[1][..., :3]])
