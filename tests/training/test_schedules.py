import math

import pytest

from resnexus.training.schedules import rate_factor
from resnexus.training.sections import Rate


def test_the_published_cosine():
    factor = rate_factor(Rate(), epochs=4, steps_per_epoch=5)
    assert [factor(step) for step in (0, 5, 10, 15, 20)] == pytest.approx(
        [1, (2 + 2**0.5) / 4, 0.5, (2 - 2**0.5) / 4, 0]
    )
    assert factor(1) == pytest.approx(0.5 * (1 + math.cos(math.pi / 20)))


def test_the_published_steps():
    factor = rate_factor(Rate(lr_schedule="step", lr_milestones=(30, 60, 90)), epochs=120, steps_per_epoch=7)
    found = [
        factor(7 * epoch + place) for epoch, place in ((0, 0), (29, 6), (30, 0), (59, 6), (60, 0), (90, 0), (119, 6))
    ]
    assert found == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.001, 0.001])


def test_warm_up_rises_in_proportion_and_the_cosine_begins_after_it():
    factor = rate_factor(Rate(warmup_epochs=2, warmup_start=0.1, lr_end=0.01), epochs=6, steps_per_epoch=10)
    assert [factor(step) for step in (0, 10, 20)] == pytest.approx([0.1, 0.55, 1.0])
    assert factor(40) == pytest.approx(0.01 + 0.99 / 2)
    assert factor(60) == factor(70) == pytest.approx(0.01)
