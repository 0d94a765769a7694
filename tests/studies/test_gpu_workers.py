"""The processes of `gpu_bench`: what fails or is late stops no other, and keeps the GPU from none."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from clocks import ManualClock
from resnexus.benchmark.engines import OURS
from studies import gpu_bench, gpu_workers
from studies.gpu_record import Outcome
from studies.gpu_task import Setting, Task
from studies.gpu_work import OPENED
from studies.gpu_workers import Worker, run

NETWORK = Task(kind="network", model="ResNet50_vd", cells=(("fp16", 1),), engines=("channels_last",))


def _setting(deadline):
    return Setting(device="cpu", image_size=32, rounds=2, deadline=deadline)


class _Started:
    """Starts tasks as threads that do what a test says of them: of those that open, the word is there at once."""

    def __init__(self, behaviours, clock=None):
        self.behaviours, self.clock = behaviours, clock
        self.threads, self.order, self.beside = {}, [], []

    def __call__(self, task, setting, connection):
        if self.behaviours[task.model] in ("works", "stalls"):
            connection.send(OPENED)
        thread = threading.Thread(target=self._do, args=(task, connection), daemon=True)
        self.threads[task.model] = thread
        thread.start()
        return thread

    def _do(self, task, connection):
        behaviour = self.behaviours[task.model]
        if behaviour == "dies":
            connection.close()
            return
        try:
            connection.recv()
        except EOFError:  # it was ended before it was its turn
            return
        if behaviour == "stalls":
            connection.poll(60)  # until it is ended
            return
        self.order.append(task.model)
        self.beside += [model for model, thread in self.threads.items() if model != task.model and thread.is_alive()]
        if self.clock is not None:
            self.clock.sleep(400.0)
        connection.send(Outcome(notes=(f"measured {task.model}",)))


def _wave(models):
    return [replace(NETWORK, model=model) for model in models]


def _found(start, models, seconds=300.0):
    return sum(run([_wave(models)], _setting, start, gpu_workers.time.monotonic() + seconds), Outcome())


def test_one_that_fails_stops_no_other_and_is_said():
    start = _Started({"a": "works", "b": "dies", "c": "works"})
    found = _found(start, "abc")
    assert start.order == ["a", "c"]
    assert found.notes == ("network b fp16: its process ended by itself", "measured a", "measured c")
    assert [(entry.model, entry.engine) for entry in found.left_out] == [
        ("b", engine) for engine in ("channels_last", OURS)
    ]


def test_one_that_opens_too_late_is_ended_before_the_others_measure(monkeypatch):
    monkeypatch.setattr(gpu_workers, "GRACE_S", -1e3)
    start = _Started({"late": "hangs", "works": "works"})
    found = _found(start, ("late", "works"))
    assert found.notes == ("network late fp16: it took too long and was ended", "measured works")
    assert start.beside == []


def test_one_that_measures_too_long_is_ended_at_once():
    worker = Worker.of(replace(NETWORK, model="a"), _setting(0.0), _Started({"a": "stalls"}))
    assert worker.opened(0.0) is None
    assert worker.measured(0.0).notes == ("network a fp16: it took too long and was ended",)
    assert not worker.handle.is_alive()


def test_one_that_dies_while_it_waits_is_said():
    start = _Started({"a": "stalls"})
    worker = Worker.of(replace(NETWORK, model="a"), _setting(0.0), start)
    assert worker.opened(0.0) is None
    worker.connection.close()
    assert worker.measured(60.0).notes == ("network a fp16: its process ended by itself",)


def test_no_more_is_measured_than_there_is_time_for(monkeypatch):
    clock = ManualClock()
    monkeypatch.setattr(gpu_workers, "time", clock_module(clock))
    start = _Started(dict.fromkeys("abc", "works"), clock)
    found = _found(start, "abc", seconds=500.0)
    assert start.order == ["a", "b"]  # 400 seconds each
    assert found.notes == ("measured a", "measured b", "network c fp16: there was no time to measure it")
    assert {entry.reason for entry in found.left_out} == {"there was no time to measure it"}


def test_time_is_kept_for_every_measurement_of_a_wave(monkeypatch):
    clock, deadlines = ManualClock(), []
    monkeypatch.setattr(gpu_workers, "time", clock_module(clock))

    def setting(deadline):
        deadlines.append(deadline - clock.now())
        return _setting(deadline)

    list(run([_wave("aaaaa"), _wave("a")], setting, _Started({"a": "works"}), clock.now() + 100.0))
    assert deadlines == [50.0 - 5 * gpu_workers.RESERVED_S, 100.0 - gpu_workers.RESERVED_S]
    deadlines.clear()
    list(run([_wave("aaaaa")], setting, _Started({"a": "works"}), clock.now() + 10.0))
    assert deadlines == [5.0]  # half of the time at least is for opening


def clock_module(clock):
    """What stands for the module `time`."""
    return type("Time", (), {"monotonic": staticmethod(clock.now)})


def test_what_there_is_no_time_for_is_said():
    found = list(run([[NETWORK], [NETWORK]], _setting, _Started({}), time.monotonic() - 1.0))
    assert [outcome.notes for outcome in found] == [("network ResNet50_vd fp16: there was no time for it",)] * 2
    assert [entry.engine for outcome in found for entry in outcome.left_out] == ["channels_last", OURS] * 2


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_processes_do_what_threads_do_in_a_rehearsal():
    tasks = [replace(task, engines=("channels_last",)) for task in gpu_bench.rehearsed()[1]]
    found = sum(run([tasks], _setting, gpu_bench.in_a_process, time.monotonic() + 300), Outcome())
    assert found.notes == ()
    assert {cell.engine for cell in found.cells} == {"channels_last", "resnexus:library"}
