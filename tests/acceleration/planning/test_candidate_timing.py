from __future__ import annotations

import pytest

from clocks import ManualClock
from resnexus import ResnexusError
from resnexus.acceleration.planning.timing import SYSTEM_CLOCK, interleaved, ratio


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def test_rounds_are_interleaved_in_a_turning_order():
    order: list[str] = []
    calls = {name: lambda name=name: order.append(name) for name in "abc"}
    times = interleaved(calls, rounds=5, warmup=2)
    assert "".join(order) == "aabbcc" + "abc" + "bca" + "cab" + "abc" + "bca"
    assert {key: len(value) for key, value in times.items()} == dict.fromkeys("abc", 5)


def test_a_turn_settles_and_repeats(clock):
    order: list[str] = []
    calls = {name: clock.work(4, lambda name=name: order.append(name)) for name in "ab"}
    times = interleaved(
        calls, rounds=2, repeats=2, warmup=0, settle=0.01, on_round=lambda: order.append("."), clock=clock
    )
    # 4 ms three times are the first 10 ms and more; then the two that are timed.
    assert "".join(order) == "aaaaa" + "bbbbb" + "." + "bbbbb" + "aaaaa" + "."
    assert times == {"a": pytest.approx([4] * 4), "b": pytest.approx([4] * 4)}
    assert clock.slept == []


def test_a_call_longer_than_its_settling_is_paused_for_and_not_repeated(clock):
    begun: list[float] = []
    slow = clock.work(30, lambda: begun.append(clock.now()))
    times = interleaved({"slow": slow}, rounds=3, warmup=0, settle=0.01, clock=clock)["slow"]
    assert times == pytest.approx([30] * 3)
    assert len(begun) == 1 + 3  # only the first round cannot know
    assert clock.slept == [0.01, 0.01]


def test_no_settling_is_no_call_and_the_shortest_is_one(clock):
    begun: list[float] = []
    call = clock.work(1, lambda: begun.append(clock.now()))
    interleaved({"a": call}, rounds=2, warmup=0, clock=clock)
    assert len(begun) == 2
    interleaved({"a": call}, rounds=2, warmup=0, settle=0.0, clock=clock)
    assert len(begun) == 2 + 4


def test_times_are_milliseconds_and_rounds_fill_the_seconds(clock):
    call = clock.work(12.5)
    assert interleaved({"a": call}, rounds=1, seconds=0.2, clock=clock)["a"] == pytest.approx([12.5] * 16)
    assert interleaved({"a": call}, rounds=30, seconds=0.2, clock=clock)["a"] == pytest.approx([12.5] * 30)


def test_a_device_tells_the_time_of_the_calls_it_gets(clock):
    order: list[str] = []
    queue = clock.work(1, lambda: order.append("queue"))

    def timed(call):
        order.append("start")
        call()
        order.append("end")
        return 11.0

    times = interleaved({"queue": queue}, rounds=2, warmup=1, timed=timed, clock=clock)["queue"]
    assert times == [11.0, 11.0]
    assert order == ["queue", *["start", "queue", "end"] * 2]


def test_the_systems_clock_goes_on_and_sleeps(monkeypatch):
    before = SYSTEM_CLOCK.now()
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    SYSTEM_CLOCK.sleep(0.25)
    assert slept == [0.25]
    assert SYSTEM_CLOCK.now() >= before


def test_nothing_to_time_is_an_error():
    with pytest.raises(ResnexusError, match="nothing to time: 0 callables"):
        interleaved({})
    with pytest.raises(ResnexusError, match="rounds=0"):
        interleaved({"a": lambda: None}, rounds=0)


def test_ratios_are_taken_round_by_round():
    assert ratio([1, 20, 3], [2, 40, 3]) == 0.5
    with pytest.raises(ValueError, match="shorter"):
        ratio([1, 2], [1])
