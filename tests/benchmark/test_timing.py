import pytest

from resnexus import ResnexusError
from resnexus.acceleration.planning import timing
from resnexus.benchmark.timing import measure


class Clock:
    """Stands in for the clock and for work: a call takes the seconds it is told to."""

    def __init__(self, monkeypatch):
        self.now, self.order = 0.0, []
        monkeypatch.setattr(timing.time, "perf_counter", lambda: self.now)

    def call(self, name, seconds):
        def run():
            self.order.append(name)
            self.now += seconds

        return run


def test_medians_percentiles_and_counts(monkeypatch):
    clock = Clock(monkeypatch)
    steps = iter([0.0] * 3 + [1.0, 2.0, 3.0, 4.0, 5.0])  # two warm-up calls, one that fills the caches, five timed

    def run():
        clock.now += next(steps)

    result = measure({"a": run}, rounds=1, repeats=5)["a"]
    assert (result.median_ms, result.repeats) == (3000.0, 5)
    assert result.p10_ms == pytest.approx(1400.0)
    assert result.p90_ms == pytest.approx(4600.0)


def test_rounds_are_interleaved_and_rotated(monkeypatch):
    clock = Clock(monkeypatch)
    calls = {name: clock.call(name, 1.0) for name in "abc"}
    result = measure(calls, rounds=3, repeats=1, warmup=0)
    assert "".join(clock.order) == "aabbcc" + "bbccaa" + "ccaabb"
    assert {value.repeats for value in result.values()} == {3}


def test_a_machine_that_slows_down_slows_all_alike(monkeypatch):
    clock = Clock(monkeypatch)

    def drifting(name):
        def run():
            clock.now += 1.0 + clock.now / 100

        return run

    result = measure({name: drifting(name) for name in "ab"}, rounds=10, repeats=1, warmup=0)
    assert result["a"].median_ms / result["b"].median_ms == pytest.approx(1, abs=0.05)


def test_the_device_is_waited_for(monkeypatch):
    clock = Clock(monkeypatch)
    measure({"a": clock.call("run", 1.0)}, rounds=1, repeats=1, warmup=0, synchronise=clock.call("wait", 0.5))
    assert clock.order == ["run", "wait", "run", "wait"]


def test_nothing_to_time():
    with pytest.raises(ResnexusError, match="nothing to time: 0 callables"):
        measure({})
    with pytest.raises(ResnexusError, match="rounds=0"):
        measure({"a": lambda: None}, rounds=0)
