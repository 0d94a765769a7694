from __future__ import annotations

from dataclasses import replace

import pytest

from resnexus.architectures.complexity import complexity
from resnexus.benchmark.bench import Bench, BenchSettings
from resnexus.benchmark.cell import Cell
from resnexus.benchmark.engines import OURS
from resnexus.benchmark.environment import environment
from resnexus.benchmark.peaks import Peak
from studies.gpu_page import gpu_section, read_records
from studies.gpu_record import Checks, Floor, Profile, Training
from studies.gpu_targets import COMPILER, ratios, targets

NAMES = ("ResNeXt50_32x4d", "Res2Net50_26w_4s", "ResNet50_vd")


def _cell(model, engine, ms, *, precision="fp16", size=1):
    return Cell(
        model=model,
        device="cuda",
        precision=precision,
        batch_size=size,
        engine=engine,
        image_size=224,
        median_ms=ms,
        p10_ms=ms,
        p90_ms=ms,
        repeats=2,
        rounds_ms=(ms, ms),
    )


def _bench(*cells, peaks=()):
    settings = BenchSettings(devices=("cuda",), precisions=("fp16",), batch_sizes=(1,), engines=(COMPILER, OURS))
    return Bench(environment=replace(environment(), gpu="NVIDIA H100"), settings=settings, cells=cells, peaks=peaks)


def _checks(**found):
    return Checks(environment=environment(), **found)


def _found(bench, checks, words):
    (target,) = (target for target in targets(bench, checks) if words in target.what)
    return target


def test_nothing_is_met_where_nothing_was_measured():
    found = targets(_bench(), _checks())
    assert len(found) == 16
    assert {target.verdict for target in found} == {"not measured"}
    assert "training: timm's time over ours, at least 1.1: not measured" in [target.text for target in found]


def test_ours_against_the_best_peer_over_the_series_alone():
    cells = [
        cell
        for model, ours, peer in zip(NAMES, (0.4, 0.9, 9.0), (1.0, 1.0, 1.0), strict=True)
        for cell in (_cell(model, OURS, ours), _cell(model, COMPILER, peer), _cell(model, "timm", 5.0))
    ]
    bench = _bench(*cells)
    mean = _found(bench, _checks(), "batch 1: ours over the best peer, geometric mean")
    assert mean.found == pytest.approx((0.4 * 0.9) ** 0.5)  # the baseline is none of the series
    assert (mean.verdict, mean.over) == ("missed", "2 of 24 networks")
    worst = _found(bench, _checks(), "batch 1: ours over the best peer, the largest")
    assert (worst.found, worst.worst, worst.verdict) == (0.9, "Res2Net50_26w_4s", "missed")
    assert worst.text.endswith("at most 0.7: 0.900, Res2Net50_26w_4s (2 of 24 networks): missed")


def test_a_network_that_the_compiler_was_not_timed_on_does_not_count():
    bench = _bench(_cell(NAMES[0], OURS, 0.1), _cell(NAMES[0], "channels_last", 1.0))
    assert ratios(bench, "fp16", 1) == {}
    assert _found(bench, _checks(), "batch 1: ours over the best peer, geometric mean").verdict == "not measured"


def test_time_per_flop_is_held_against_that_of_the_baseline():
    cells = [_cell(name, engine, 2.0, size=8) for name in NAMES for engine in (OURS, COMPILER)]
    bench = _bench(*cells, _cell("ResNeXt101_32x4d", OURS, 99.0, size=8))
    cost = {name: complexity(name).macs for name in NAMES}
    expected = max(cost["ResNet50_vd"] / cost[name] for name in NAMES[:2])
    for words, bound in (("PyTorch's compiler", 0.6), ("our engine", 1.05)):
        found = _found(
            bench, _checks(), f"batch 8: time per FLOP of 50 layers in our engine over ResNet50_vd's in {words}"
        )
        assert (found.found, found.bound) == (pytest.approx(expected), bound)
        assert found.over == "2 of 10 networks"


def test_ours_over_the_floors_of_kernels_and_bytes():
    peak = Peak(device="cuda", precision="fp16", tflops=500.0, gbytes_s=2000.0, call_us=3.0)
    bench = _bench(_cell(NAMES[0], OURS, 0.3), _cell(NAMES[0], OURS, 4.0, size=128), peaks=(peak,))
    profile = Profile(model=NAMES[0], precision="fp16", batch_size=1, launches=75, kernels=())
    floor = Floor(model=NAMES[0], precision="fp16", batch_size=128, moved_bytes=4 * 10**9)
    checks = _checks(profiles=(profile,), floors=(floor,), chain_us=2.0)
    chain = _found(bench, checks, "chain of as many kernels")
    assert (chain.found, chain.verdict) == (pytest.approx(0.3 / 0.15), "met")
    moved = _found(bench, checks, "bytes with fused epilogues")
    assert (moved.found, moved.verdict) == (pytest.approx(4.0 / 2.0), "missed")
    assert _found(bench, replace(checks, chain_us=None), "chain").verdict == "not measured"


def test_other_precisions_are_never_behind_and_training_is_ahead():
    cells = [
        _cell(NAMES[0], engine, ms, precision="fp32", size=size)
        for size, ours in ((1, 0.9), (8, 1.2))
        for engine, ms in ((OURS, ours), (COMPILER, 1.0))
    ]
    found = _found(_bench(*cells), _checks(), "fp32 without TF32")
    assert (found.found, found.worst, found.verdict) == (1.2, "ResNeXt50_32x4d at batch 8", "missed")
    steps = tuple(
        Training(model=name, timm=name.lower(), batch_size=128, ours_ms=10.0, timm_ms=timm_ms)
        for name, timm_ms in zip(NAMES, (12.0, 11.5, 13.0), strict=True)
    )
    trained = _found(_bench(), _checks(training=steps), "training")
    assert (trained.found, trained.worst, trained.verdict) == (1.15, NAMES[1], "met")


def test_the_page_says_so_where_no_gpu_was_at_hand(tmp_path):
    assert read_records(tmp_path) == []
    assert gpu_section([]) == "Not measured: no GPU was at hand."


def test_the_page_holds_targets_and_latencies_of_every_run():
    cells = (_cell(NAMES[0], OURS, 0.4), _cell(NAMES[0], COMPILER, 1.0))
    text = gpu_section([(_bench(*cells), _checks())] * 2)
    row = "| fp16, batch 1: ours over the best peer, the largest | at most 0.7 | 0.400 (ResNeXt50\\_32x4d) |"
    assert text.count(row) == 2
    assert text.count("### NVIDIA H100: cuda, fp16, batch 1") == 2
    assert "0 of 0 steps agree with float64." in text
