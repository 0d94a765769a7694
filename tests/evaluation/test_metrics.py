import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from resnexus.errors import ResnexusError
from resnexus.evaluation.metrics import (
    paired_interval,
    predicted,
    spread,
    student_probability,
    student_quantile,
    top_k_correct,
)

# Ranks of the labels: 1st, 2nd, 3rd, 4th.
LOGITS = torch.tensor([[9.0, 1, 0, 2], [3.0, 9, 0, 2], [3.0, 2, 1, 0], [3.0, 4, 2, 0]])
LABELS = torch.tensor([0, 0, 2, 3])


def test_top_k_by_hand():
    assert [int(top_k_correct(LOGITS, LABELS, k).sum()) for k in (1, 2, 3, 4)] == [1, 2, 3, 4]
    assert top_k_correct(LOGITS, LABELS, 2).tolist() == [True, True, False, False]


def test_predicted_is_the_first_of_top_k():
    logits = torch.randint(0, 3, (200, 7)).to(torch.bfloat16)
    labels = torch.randint(0, 7, (200,))
    assert torch.equal(predicted(logits) == labels, top_k_correct(logits, labels, 1))
    assert predicted(torch.zeros(2, 3)).tolist() == [0, 0]
    with pytest.raises(ResnexusError, match=r"logits of \(3,\): expected \(N, classes\)"):
        predicted(torch.zeros(3))


def test_more_than_all_classes_is_all_classes():
    for k in (5, 1000):
        assert top_k_correct(LOGITS, LABELS, k).all()


def test_of_equal_logits_the_lower_class_is_the_larger():
    ties = torch.zeros(4, 4)
    labels = torch.arange(4)
    assert [top_k_correct(ties, labels, k).tolist().count(True) for k in (1, 2, 3, 4)] == [1, 2, 3, 4]
    assert top_k_correct(ties, labels, 1).tolist() == [True, False, False, False]
    assert top_k_correct(torch.tensor([[1.0, 5, 5, 5]]), torch.tensor([2]), 2).tolist() == [True]
    assert top_k_correct(torch.tensor([[1.0, 5, 5, 5]]), torch.tensor([3]), 2).tolist() == [False]


@given(st.integers(1, 6), st.integers(1, 8), st.integers(0, 10_000))
@settings(max_examples=50, deadline=None)
def test_top_k_equals_a_stable_sort(classes, k, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randint(0, 3, (20, classes), generator=generator).to(torch.bfloat16)  # many ties
    labels = torch.randint(0, classes, (20,), generator=generator)
    order = logits.float().argsort(dim=1, descending=True, stable=True)[:, :k]
    assert torch.equal(top_k_correct(logits, labels, k), (order == labels[:, None]).any(1))


def test_shapes_that_do_not_fit():
    with pytest.raises(
        ResnexusError, match=r"logits of \(4, 4\) with labels of \(3,\): expected \(N, classes\) and \(N,\)"
    ):
        top_k_correct(LOGITS, LABELS[:3], 1)


def test_counts_below_one_are_refused():
    with pytest.raises(ResnexusError, match="k=0: expected at least 1"):
        top_k_correct(LOGITS, LABELS, 0)


def test_spread_by_hand():
    """Deviations -2, 0, 2: std 2; t of 2 degrees of freedom is 4.302653."""
    found = spread([96, 98, 100])
    assert (found.mean, found.std, found.count) == (98, 2, 3)
    assert found.half_width == pytest.approx(4.302653 * 2 / math.sqrt(3), rel=1e-6)


def test_one_run_has_no_spread():
    found = spread([0.97])
    assert (found.mean, found.std, found.half_width, found.count) == (0.97, None, None, 1)


@pytest.mark.parametrize("values", [[], [1, math.nan], [math.inf]])
def test_values_that_have_no_mean(values):
    with pytest.raises(ResnexusError, match="expected at least one value, all finite"):
        spread(values)


def test_paired_difference_by_hand():
    """Differences 1, 2, 3: mean 2, std 1, error 1/sqrt(3), t = 2 sqrt(3)."""
    found = paired_interval([11, 22, 33], [10, 20, 30])
    assert (found.mean, found.count) == (2, 3)
    assert found.half_width == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    # For two degrees of freedom P(|T| <= t) = t / sqrt(2 + t^2).
    t = 2 * math.sqrt(3)
    assert found.p_value == pytest.approx(1 - t / math.sqrt(2 + t * t))
    assert not found.differs
    assert paired_interval([11, 22, 33], [9.9, 21, 31.9]).differs


def test_the_interval_and_the_p_value_say_the_same():
    for offset in range(20):
        found = paired_interval([offset / 4, 1, 2, 3, 5], [0, 1, 1, 2.5, 4])
        assert found.differs == (found.p_value < 0.05)


def test_what_the_seeds_have_in_common_drops_out():
    first, second = [0.90, 0.95, 0.99], [0.89, 0.939, 0.981]
    assert paired_interval(first, second).half_width < 0.003 < spread(first).half_width


def test_the_order_of_the_models_is_the_sign():
    there, back = paired_interval([3, 5], [1, 2]), paired_interval([1, 2], [3, 5])
    assert (there.mean, there.half_width, there.p_value) == (-back.mean, back.half_width, back.p_value)


@pytest.mark.parametrize("second", [[1, 2, 3], [0, 1, 2]])
def test_equal_differences_claim_nothing(second):
    found = paired_interval([1, 2, 3], second)
    assert (found.half_width, found.p_value, found.differs) == (0, 1, False)


def test_differences_that_are_equal_but_for_rounding_claim_nothing():
    first, second = [(300 + i) / 360 for i in (0, 10, 20)], [(305 + i) / 360 for i in (0, 10, 20)]
    assert len({a - b for a, b in zip(first, second, strict=True)}) > 1
    found = paired_interval(first, second)
    assert (found.half_width, found.p_value, found.differs) == (0, 1, False)


@pytest.mark.parametrize(("first", "second"), [([1], [2]), ([1, 2], [1, 2, 3]), ([], [])])
def test_pairs_need_the_same_seeds(first, second):
    with pytest.raises(ResnexusError, match="needs the same seeds, at least 2"):
        paired_interval(first, second)


# Student's t for 95 %, two-sided, as printed in statistical tables.
@pytest.mark.parametrize(
    ("freedom", "t"),
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (5, 2.571), (9, 2.262), (10, 2.228), (30, 2.042), (120, 1.980)],
)
def test_student_quantiles_of_the_tables(freedom, t):
    assert student_quantile(0.95, freedom) == pytest.approx(t, abs=6e-4)


def test_student_equals_scipy():
    stats = pytest.importorskip("scipy.stats", reason="the tables above are checked without it")
    for freedom in (1, 2, 3, 7, 8, 50, 501):
        for t in (0.0, 0.1, 1.0, 2.5, 40.0):
            assert student_probability(t, freedom) == pytest.approx(1 - 2 * stats.t.sf(t, freedom), abs=1e-12)
        for probability in (0.5, 0.95, 0.999):
            assert student_quantile(probability, freedom) == pytest.approx(
                stats.t.ppf((1 + probability) / 2, freedom), rel=1e-9
            )
    assert student_quantile(0, 3) == pytest.approx(0, abs=1e-300)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_same():
    ties = torch.randint(0, 3, (500, 10)).half()
    labels = torch.randint(0, 10, (500,))
    for k in (1, 5):
        assert torch.equal(top_k_correct(ties.cuda(), labels.cuda(), k).cpu(), top_k_correct(ties, labels, k))
