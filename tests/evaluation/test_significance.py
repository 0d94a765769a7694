import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from resnexus.errors import ResnexusError
from resnexus.evaluation.significance import PairedAnswers, mcnemar, sign_test


def answers(both, first_only, second_only, neither):
    first = [True] * (both + first_only) + [False] * (second_only + neither)
    second = [True] * both + [False] * first_only + [True] * second_only + [False] * neither
    return torch.tensor(first), torch.tensor(second)


def test_mcnemar_by_hand():
    """1 against 6 of 7 coins: 2 x (1 + 7) / 128."""
    found = mcnemar(*answers(10, 6, 1, 3))
    assert (found.images, found.both, found.first_only, found.second_only) == (20, 10, 6, 1)
    assert found.difference == 5 / 20
    assert found.p_value == 2 * (1 + 7) / 128
    assert found.half_width == pytest.approx(1.959964 * math.sqrt((7 - 25 / 20) / 20**2), rel=1e-6)


@pytest.mark.parametrize(("won", "lost"), [(0, 0), (3, 3), (0, 5), (12, 30), (500, 430), (5000, 4700)])
def test_the_sign_test_equals_scipy(won, lost):
    stats = pytest.importorskip("scipy.stats")
    expected = stats.binomtest(won, won + lost).pvalue if won + lost else 1.0
    assert sign_test(won, lost) == pytest.approx(expected, rel=1e-9)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60), st.integers(1, 60))
def test_the_order_is_the_sign(both, won, lost, neither):
    first, second = answers(both, won, lost, neither)
    there, back = mcnemar(first, second), mcnemar(second, first)
    assert (there.difference, there.p_value) == (-back.difference, back.p_value)
    assert there.difference == pytest.approx(float(first.double().mean() - second.double().mean()))


def test_images_that_are_not_the_same():
    with pytest.raises(ResnexusError, match=r"answers of shape \(3,\) and \(2,\): expected the same images"):
        mcnemar(torch.ones(3, dtype=torch.bool), torch.ones(2, dtype=torch.bool))
    with pytest.raises(ResnexusError, match="at least 1"):
        mcnemar(torch.ones(0, dtype=torch.bool), torch.ones(0, dtype=torch.bool))


def test_a_record_that_contradicts_itself_is_refused():
    plain = {"images": 3, "both": 1, "first_only": 1, "second_only": 1, "difference": 0.0, "half_width": 0.1}
    with pytest.raises(ResnexusError, match=r"p_value=1\.5: expected 0 to 1"):
        PairedAnswers(**plain, p_value=1.5)
    with pytest.raises(ResnexusError, match=r"both, first_only, second_only=\(2, 1, 1\) of images=3"):
        PairedAnswers(**plain | {"both": 2}, p_value=1.0)
