import math

import pytest
import torch

from resnexus.prediction.scoring import named, probabilities, shortest

LOGITS = torch.tensor([[0.0, 2.0, 2.0, -1.0], [math.nan, 0.0, 0.0, 0.0], [8.0, -8.0, -8.0, -8.0]])


def test_the_most_probable_first_and_of_equal_ones_the_lower():
    first, broken, sure = named(LOGITS, topk=3, threshold=None, multi_label=False)
    assert first[0] == (1, 2, 0)
    assert broken is None
    assert sure[0][0] == 0
    total = 1 + 2 * math.exp(2) + math.exp(-1)
    assert first[1] == pytest.approx([math.exp(2) / total, math.exp(2) / total, 1 / total], rel=1e-6)


def test_a_threshold_may_leave_nothing():
    first, _, sure = named(LOGITS, topk=5, threshold=0.5, multi_label=False)
    assert first == ((), ())
    assert sure[0] == (0,)


def test_every_class_is_a_question_of_its_own():
    first, broken, sure = named(LOGITS, topk=5, threshold=None, multi_label=True)
    assert first == ((1, 2, 0), (shortest(torch.tensor([2.0]).double().sigmoid().numpy())[0],) * 2 + (0.5,))
    assert broken is None
    assert sure[0] == (0,)
    assert probabilities(LOGITS[:1], multi_label=True)[0, 3] == pytest.approx(1 / (1 + math.e))


def test_scores_are_the_shortest_decimals_of_their_float32():
    assert shortest(torch.tensor([0.1, 1 / 3]).numpy()) == (0.1, 0.33333334)
