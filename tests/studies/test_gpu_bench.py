from __future__ import annotations

import re
import signal
import sys
from functools import partial

import pytest
import torch

from resnexus.acceleration.backends.contract import Job
from resnexus.architectures.catalog import CATALOG
from resnexus.benchmark.bench import Bench, BenchSettings
from resnexus.benchmark.cell import Cell
from resnexus.benchmark.engines import ENGINES, OURS
from resnexus.benchmark.environment import environment
from studies import gpu_bench
from studies.gpu_bench import planned
from studies.gpu_page import gpu_section, read_records
from studies.gpu_record import Outcome, StepCheck, Training, records
from studies.gpu_stages import distinct_steps
from studies.gpu_table import table
from studies.gpu_wheels import needed


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


def _interrupted():
    raise KeyboardInterrupt


EMPTY = Bench(
    environment=environment(),
    settings=BenchSettings(devices=("cuda",), precisions=("fp16",), batch_sizes=(1,), engines=("channels_last", OURS)),
)


@pytest.mark.thorough
def test_a_rehearsal_measures_and_writes_what_a_run_would(monkeypatch, tmp_path, capsys):
    _main(monkeypatch, tmp_path, "--rehearse")
    ((bench, checks),) = read_records(tmp_path)
    assert re.fullmatch(r"bench_gpu_rehearsal_\d{4}-\d\d-\d\d", min(tmp_path.iterdir()).stem)
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
    assert {(floor.model, floor.precision, floor.batch_size) for floor in checks.floors} == {
        (cell.model, cell.precision, cell.batch_size) for cell in bench.cells
    }
    section = gpu_section([(bench, checks)])
    assert all(f"| {name.replace('_', chr(92) + '_')} |" in section for name in gpu_bench.REHEARSED)
    assert f"{len(checks.steps)} of {len(checks.steps)} steps agree with float64." in section
    assert "fp16, batch 128: ours over the best peer, geometric mean over the series" in section
    assert {check.step.split()[0] for check in checks.steps} >= {"normalise", "convolve"}
    assert all(check.holds for check in checks.steps)
    assert f"{len(checks.steps)} of {len(checks.steps)} steps agree with float64" in capsys.readouterr().out


def test_everything_that_was_asked_for_is_planned_and_the_important_comes_first():
    waves = planned(11)
    tasks = [task for wave in waves for task in wave]
    assert [task.kind for task in waves[0]].count("parity") == gpu_bench.PARITY_SHARES
    assert {task.share[0] for task in tasks if task.kind == "parity"} == set(range(gpu_bench.PARITY_SHARES))
    assert max(map(len, waves)) == 11
    few = planned(3)  # on a GPU with less memory
    assert max(map(len, few)) == 3
    assert [task for wave in few for task in wave] == tasks
    half = [task for task in tasks if task.kind == "network" and not task.aside and task.cells[0][0] == "fp16"]
    assert [task.model for task in waves[0] if task.kind == "network"] == list(gpu_bench.FIRST)
    assert len(gpu_bench.FIRST) == 6
    assert {task.model for task in half} == set(CATALOG)
    assert all({size for _, size in task.cells} == {1, 4, 8, 128} for task in half)
    assert all(gpu_bench.COMPILER in task.engines for task in tasks if task.kind == "network")
    assert [task.model for task in tasks if "measured" in task.variants] == list(gpu_bench.KINDS)
    full = {precision for task in tasks if task.kind == "parity" for precision, _ in task.cells}
    assert full == {"fp16", "bf16", "fp32"}
    assert {(task.model, *task.cells[0]) for task in tasks if task.kind == "training"} == {
        (model, "bf16", 128) for model in ("ResNeXt50_32x4d", "SE_ResNeXt50_32x4d", "Res2Net50_26w_4s")
    }
    assert {engine for task in tasks for engine in task.engines} <= set(ENGINES)


def _main(monkeypatch, folder, *arguments):
    monkeypatch.setattr(sys, "argv", ["gpu_bench", "--out", str(folder), *arguments])
    gpu_bench.main()


@pytest.mark.parametrize("cut", [partial(signal.raise_signal, signal.SIGTERM), _interrupted])
def test_what_is_cut_off_keeps_its_records_and_prints_its_table(cut, monkeypatch, tmp_path, capsys):
    def run(*_):
        yield Outcome(cells=(_cell("resnexus:library", 1.0, 2.0, 3.0),))
        cut()

    monkeypatch.setattr(gpu_bench, "run", run)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises((SystemExit, KeyboardInterrupt)) as end:
        _main(monkeypatch, tmp_path, "--rehearse")
    assert getattr(end.value, "code", 143) == 143  # 128 + SIGTERM
    assert signal.getsignal(signal.SIGTERM) == before
    ((bench, _),) = read_records(tmp_path)
    assert [cell.median_ms for cell in bench.cells] == [2.0]
    assert "2.000 ms  no peer  cuda(library)" in capsys.readouterr().out


def test_without_a_gpu_it_says_so_in_a_sentence_and_writes_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match=r"^error: device 'cuda': PyTorch sees no GPU here; use device 'cpu'$"):
        _main(monkeypatch, tmp_path / "gpu")
    assert list(tmp_path.iterdir()) == []


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
    assert "target: fp16, batch 4: ours over the best peer, the largest, at most 0.7: not measured" in text
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
