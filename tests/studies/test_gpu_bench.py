from __future__ import annotations

import sys
import threading
import time
from dataclasses import replace

import pytest

from resnexus.acceleration.backends.contract import Job
from resnexus.architectures.catalog import CATALOG
from resnexus.benchmark.bench import Bench, BenchSettings
from resnexus.benchmark.cell import Cell
from resnexus.benchmark.engines import ENGINES, OURS
from resnexus.benchmark.environment import environment
from resnexus.records import read_json
from studies import gpu_bench
from studies.gpu_bench import Worker, planned, run
from studies.gpu_record import Checks, Outcome, StepCheck, Training, records, table
from studies.gpu_stages import distinct_steps
from studies.gpu_task import Setting, Task
from studies.gpu_wheels import needed
from studies.gpu_work import OPENED

NETWORK = Task(kind="network", model="ResNet50_vd", cells=(("fp16", 1),), engines=("channels_last",))


def _setting(deadline):
    return Setting(device="cpu", image_size=32, rounds=2, deadline=deadline)


def _cell(engine, *rounds, model="ResNet50_vd"):
    middle = sorted(rounds)[len(rounds) // 2]
    return Cell(
        model=model,
        device="cuda",
        precision="fp16",
        batch_size=1,
        engine=engine,
        image_size=224,
        median_ms=middle,
        p10_ms=min(rounds),
        p90_ms=max(rounds),
        repeats=len(rounds),
        rounds_ms=rounds,
    )


EMPTY = Bench(
    environment=environment(),
    settings=BenchSettings(devices=("cuda",), precisions=("fp16",), batch_sizes=(1,), engines=("channels_last", OURS)),
)


def test_a_rehearsal_measures_and_writes_what_a_run_would(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu_bench", "--rehearse", "--out", str(tmp_path)])
    gpu_bench.main()
    bench, checks = read_json(Bench, tmp_path / "bench.json"), read_json(Checks, tmp_path / "checks.json")
    assert checks.notes == ()
    assert bench.left_out == ()
    found = {(cell.model, cell.engine, cell.precision, cell.batch_size) for cell in bench.cells}
    assert found == {
        (model, engine, precision, size)
        for model in gpu_bench.REHEARSED
        for engine in ("channels_last", OURS)
        for precision, size in (("fp32", 1), ("bf16", 2))
    }
    assert all(cell.agreement < 0.05 for cell in bench.cells)
    assert {cell.plan for cell in bench.cells if cell.engine == OURS} == {"cuda(library)"}
    assert {cell.engine for cell in checks.variants} == {"resnexus:library"}
    assert {check.step.split()[0] for check in checks.steps} >= {"normalise", "convolve"}
    assert all(check.holds for check in checks.steps)
    assert f"{len(checks.steps)} of {len(checks.steps)} steps agree with float64" in capsys.readouterr().out


def test_everything_that_was_asked_for_is_planned_and_the_important_comes_first():
    waves = planned(8)
    tasks = [task for wave in waves for task in wave]
    assert [task.kind for task in waves[0]].count("parity") == gpu_bench.PARITY_SHARES
    assert {task.share[0] for task in tasks if task.kind == "parity"} == set(range(gpu_bench.PARITY_SHARES))
    assert all(len(wave) <= 9 for wave in waves)
    half = [task for task in tasks if task.kind == "network" and not task.aside and task.cells[0][0] == "fp16"]
    assert [task.model for task in half[:4]] == list(gpu_bench.KINDS)
    assert {task.model for task in half} == set(CATALOG)
    assert all(task.cells == (("fp16", 1), ("fp16", 8), ("fp16", 128)) for task in half)
    assert {(task.model, *task.cells[0]) for task in tasks if task.kind == "training"} == {
        (model, "bf16", 128) for model in ("ResNeXt50_32x4d", "SE_ResNeXt50_32x4d", "Res2Net50_26w_4s")
    }
    assert {engine for task in tasks for engine in task.engines} <= set(ENGINES)


class _Started:
    """Starts tasks as threads that do what a test says of them."""

    def __init__(self, behaviours):
        self.behaviours, self.order = behaviours, []

    def __call__(self, task, setting, connection):
        thread = threading.Thread(target=self._do, args=(task, connection), daemon=True)
        thread.start()
        return thread

    def _do(self, task, connection):
        behaviour = self.behaviours[task.model]
        if behaviour == "dies":
            connection.close()
            return
        if behaviour == "hangs":
            connection.poll(30)
            return
        connection.send(OPENED)
        connection.recv()
        self.order.append(task.model)
        connection.send(Outcome(cells=(_cell("channels_last", 1.0, 1.0, model=task.model),)))


def test_one_that_fails_stops_no_other_and_is_said():
    start = _Started({"a": "works", "b": "dies", "c": "works"})
    wave = [replace(NETWORK, model=model) for model in "abc"]
    found = sum(run([wave], _setting, start, time.monotonic() + 300.0), Outcome())
    assert start.order == ["a", "c"]
    assert [cell.model for cell in found.cells] == ["a", "c"]
    assert found.notes == ("network b fp16: its process ended by itself",)
    assert [(entry.model, entry.engine) for entry in found.left_out] == [
        ("b", engine) for engine in ("channels_last", OURS)
    ]


def test_what_there_is_no_time_for_is_said():
    found = list(run([[NETWORK], [NETWORK]], _setting, _Started({}), time.monotonic() - 1.0))
    assert [outcome.notes for outcome in found] == [("network ResNet50_vd fp16: there was no time for it",)] * 2


def test_a_worker_that_sends_nothing_in_time_is_not_waited_for():
    worker = Worker.of(replace(NETWORK, model="a"), _setting(0.0), _Started({"a": "hangs"}))
    answer = worker.answer(0.0)
    worker.end()
    assert isinstance(answer, Outcome)
    assert answer.notes == ("network a fp16: it took too long and was ended",)
    assert not worker.handle.is_alive()


def test_our_engine_is_the_fastest_of_its_variants_in_the_same_turns():
    cells = (
        _cell("channels_last", 4.0, 4.0, 4.0),
        _cell("compile_reduce_overhead", 2.0, 3.0, 2.5),
        _cell("resnexus:library", 1.5, 1.5, 1.5),
        _cell("resnexus:ours", 1.0, 1.5, 1.0),
    )
    wrong = StepCheck(step="pool 8->8", way="pools", max_rel=0.5, allowed=1e-3)
    failed = StepCheck(step="pool 8->8", way="aten_pool", max_rel=None, allowed=1e-3, note="RuntimeError: no")
    training = Training(model="ResNeXt50_32x4d", timm="resnext50_32x4d", batch_size=128, ours_ms=10.0, timm_ms=12.0)
    found = Outcome(cells=cells, steps=(wrong, failed), training=(training,), notes=("peaks: broken",), chain_us=0.9)
    bench, checks = records(found, EMPTY)
    assert [(cell.engine, cell.median_ms) for cell in bench.cells] == [
        ("channels_last", 4.0),
        ("compile_reduce_overhead", 2.5),
        (OURS, 1.0),
    ]
    assert bench.cells[-1].plan == "cuda(ours)"
    assert [cell.engine for cell in checks.variants] == ["resnexus:library", "resnexus:ours"]
    text = table(bench, checks)
    assert "0.50 of compile_reduce_overhead 2.500" in text
    assert "fp16, batch 1: 0.500 of the best peer's time over 1 networks, at most 0.500" in text
    assert "training ResNeXt50_32x4d: 1.20 x timm's resnext50_32x4d" in text
    assert "0 of 2 steps agree with float64\n  pools for pool 8->8: off by 5.0e-01\n" in text
    assert "failed: peaks: broken" in text
    assert "0.90 us for each kernel of a chain" in text


@pytest.mark.thorough
def test_steps_of_all_networks_are_told_apart():
    job = Job(batch_size=2, image_size=(65, 79), precision="fp16")
    found = list(distinct_steps(job, "Res2Net50_vd_26w_4s"))
    assert len(found) > 30
    kinds = {step.kind for _, step, _ in found}
    assert kinds == {"convolve", "pool", "classify"}
    assert {step.copy.channels for _, step, _ in found if step.copy} == {26, 32, 52, 56, 104, 208}
    assert all(bias.any() for _, _, weights in found for bias in weights.values() if bias.ndim == 1)


def test_grouped_convolutions_are_checked_with_the_1x1_after_them_too():
    job = Job(batch_size=2, image_size=(65, 79), precision="fp16")
    pairs = [step for _, step, weights in distinct_steps(job, "ResNeXt50_32x4d") if step.kind == "pair"]
    assert {(step.x.channels, step.out.channels) for step in pairs} == {
        (width, 2 * width) for width in (128, 256, 512, 1024)
    }


def test_wheels_are_those_that_others_do_not_bring():
    there = ("torch", "torchvision", "numpy", "typer", "rich", "timm")
    found = needed("resnexus", there)
    assert {"platformdirs", "cattrs"} <= found.keys()
    assert not {"torch", "numpy", "pillow", "resnexus", "lightning"} & found.keys()
    assert "attrs" in found  # that cattrs requires
    assert needed("resnexus", (*there, "cattrs", "platformdirs")).keys() < found.keys()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_processes_do_what_threads_do_in_a_rehearsal():
    tasks = [replace(task, engines=("channels_last",)) for task in gpu_bench.rehearsed()[1]]
    found = sum(run([tasks], _setting, gpu_bench.in_a_process, time.monotonic() + 300), Outcome())
    assert found.notes == ()
    assert {cell.engine for cell in found.cells} == {"channels_last", "resnexus:library"}
