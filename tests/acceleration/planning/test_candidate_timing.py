from __future__ import annotations

import re
import time
from itertools import pairwise

import pytest

from resnexus import ResnexusError
from resnexus.acceleration.planning.timing import interleaved, ratio


def test_rounds_are_interleaved_in_a_turning_order():
    order: list[str] = []
    calls = {name: lambda name=name: order.append(name) for name in "abc"}
    times = interleaved(calls, rounds=5, warmup=2)
    assert "".join(order) == "aabbcc" + "abc" + "bca" + "cab" + "abc" + "bca"
    assert {key: len(value) for key, value in times.items()} == dict.fromkeys("abc", 5)


def test_a_turn_settles_and_repeats():
    order: list[str] = []
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    times = interleaved(calls, rounds=2, repeats=2, warmup=0, settle=1e-3, on_round=lambda: order.append("."))
    text = "".join(order)
    assert re.fullmatch(r"aa{3,}bb{3,}\.bb{3,}aa{3,}\.", text)
    assert {key: len(value) for key, value in times.items()} == dict.fromkeys("ab", 4)


def test_a_call_longer_than_its_settling_is_paused_for_and_not_repeated():
    begun: list[float] = []

    def slow() -> None:
        begun.append(time.perf_counter())
        time.sleep(0.03)

    times = interleaved({"slow": slow}, rounds=3, warmup=0, settle=0.01)["slow"]
    assert len(times) == 3
    assert len(begun) == 1 + 3  # only the first round cannot know
    assert min(later - earlier for earlier, later in pairwise(begun[1:])) >= 0.04


def test_a_turn_settles_for_some_time():
    calls = {"sleep": lambda: time.sleep(0.01)}
    start = time.perf_counter()
    times = interleaved(calls, rounds=2, warmup=0, settle=0.1)
    assert time.perf_counter() - start >= 0.22
    assert len(times["sleep"]) == 2


def test_times_are_milliseconds_and_rounds_fill_the_seconds():
    times = interleaved({"sleep": lambda: time.sleep(0.01)}, seconds=0.2)["sleep"]
    assert 10 < len(times) <= 20
    assert 10 <= min(times) < 20


def test_the_clock_stops_when_the_device_is_done():
    times = interleaved({"queue": lambda: None}, rounds=1, synchronise=lambda: time.sleep(0.01))["queue"]
    assert 10 <= times[0] < 20


def test_nothing_to_time_is_an_error():
    with pytest.raises(ResnexusError, match="nothing to time: 0 callables"):
        interleaved({})
    with pytest.raises(ResnexusError, match="rounds=0"):
        interleaved({"a": lambda: None}, rounds=0)


def test_ratios_are_taken_round_by_round():
    assert ratio([1, 20, 3], [2, 40, 3]) == 0.5
    with pytest.raises(ValueError, match="shorter"):
        ratio([1, 2], [1])
