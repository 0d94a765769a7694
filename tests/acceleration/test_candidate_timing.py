from __future__ import annotations

import time

import pytest

from resnexus.acceleration.timing import LEAST_ROUNDS, WARM_UP, interleaved, ratio


def test_rounds_are_interleaved_in_a_turning_order():
    order: list[str] = []
    times = interleaved({name: lambda name=name: order.append(name) for name in "abc"}, 0.0)
    assert "".join(order) == "aabbcc" + "abc" + "bca" + "cab" + "abc" + "bca"
    assert WARM_UP == 2
    assert {key: len(value) for key, value in times.items()} == dict.fromkeys("abc", LEAST_ROUNDS)


def test_times_are_milliseconds_and_rounds_fill_the_seconds():
    times = interleaved({"sleep": lambda: time.sleep(0.01)}, 0.2)["sleep"]
    assert 10 < len(times) <= 20
    assert 10 <= min(times) < 20


def test_ratios_are_taken_round_by_round():
    assert ratio([1, 20, 3], [2, 40, 3]) == 0.5
    with pytest.raises(ValueError, match="shorter"):
        ratio([1, 2], [1])
