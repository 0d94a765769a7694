from __future__ import annotations

from dataclasses import replace

import pytest

from resnexus.benchmark.engines import ENGINES
from rounding import Rounding
from studies import gpu_networks
from studies.gpu_networks import network
from studies.gpu_task import Setting, Task

TASK = Task(kind="network", model="ResNeXt_small", cells=(("fp32", 1), ("fp32", 2)), engines=("channels_last",))
SETTING = Setting(device="cpu", image_size=32, rounds=2, deadline=float("inf"))


def _with_peer(monkeypatch, opened):
    rows = dict(ENGINES) | {"channels_last": replace(ENGINES["channels_last"], open=opened)}
    monkeypatch.setattr(gpu_networks, "ENGINES", rows)


def test_float32_keeps_its_bits_while_peers_open_and_are_timed(monkeypatch, tmp_path):
    rounding = Rounding()
    monkeypatch.setattr(gpu_networks, "exact_on", rounding.exact_on)
    _with_peer(monkeypatch, rounding.opened)
    found = network(TASK, SETTING, tmp_path)()
    assert [cell.batch_size for cell in found.cells] == [1, 2]
    assert rounding.asked == ["cpu", "cpu"]  # once to open, once to time
    assert rounding.seen == {("open", True), ("run", True)}


@pytest.mark.parametrize(("took", "opened"), [(10.0, [1, 2]), (60.0, [1])])
def test_nothing_is_begun_that_took_longer_before_than_there_is_time_left(took, opened, monkeypatch, tmp_path):
    clock, sizes = [0.0], []

    def slow(workload, job):
        clock[0] += took
        sizes.append(job.batch_size)
        return lambda images: workload.network(images).detach()

    monkeypatch.setattr(gpu_networks, "time", type("Time", (), {"monotonic": staticmethod(lambda: clock[0])}))
    _with_peer(monkeypatch, slow)
    found = network(TASK, replace(SETTING, deadline=100.0), tmp_path)()
    assert sizes == opened
    assert [cell.batch_size for cell in found.cells] == opened
    assert [(entry.batch_size, entry.reason) for entry in found.left_out] == [
        (size, "there was no time to open it") for size in (1, 2) if size not in opened
    ]
