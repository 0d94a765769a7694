import pytest

from resnexus.comparison.dense.runs import milestones


@pytest.mark.parametrize(
    ("epochs", "expected"), [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (6, [2, 4, 6]), (9, [3, 6, 9]), (10, [3, 7, 10])]
)
def test_a_network_is_evaluated_after_every_third_of_its_training(epochs, expected):
    assert milestones(epochs) == expected
