from dataclasses import replace

import pytest

import resnexus
from resnexus.benchmark.bench import Bench, BenchSettings, LeftOut
from resnexus.benchmark.cell import Cell
from resnexus.benchmark.environment import Environment
from resnexus.benchmark.peaks import Peak
from resnexus.report.speed import (
    against_peers,
    at,
    how,
    latency_table,
    left_out,
    page,
    penalties,
    penalty_tables,
    summary,
)

ENVIRONMENT = Environment(
    date="2026-01-02T03:04:05+00:00",
    cpu="A processor",
    cores=2,
    threads=2,
    memory_gib=24.0,
    gpu=None,
    system="Linux 6",
    python="3.12.1",
    packages={"resnexus": "0.1", "torch": "2.14"},
)
FACTORS = {"eager": 2.0, "openvino": 1.0, "resnexus": 0.9}
MILLISECONDS = {"ResNet50_vd": 40.0, "ResNeXt50_32x4d": 60.0}


def cell(model, precision, engine, milliseconds):
    rounds = tuple(milliseconds * (1 + 0.01 * (index % 3 - 1)) for index in range(9))
    return Cell(
        model=model,
        device="cpu",
        precision=precision,
        batch_size=1,
        engine=engine,
        image_size=224,
        median_ms=milliseconds,
        p10_ms=0.99 * milliseconds,
        p90_ms=1.01 * milliseconds,
        repeats=9,
        agreement=1e-6,
        cosine=1.0,
        rounds_ms=rounds,
    )


@pytest.fixture(scope="module")
def bench():
    cells = [
        cell(model, precision, engine, milliseconds * factor * share)
        for precision, share in (("fp32", 1.0), ("bf16", 0.5))
        for model, milliseconds in MILLISECONDS.items()
        for engine, factor in FACTORS.items()
    ]
    reason = "has no network that computes the same"
    missing = [
        LeftOut(model=model, device="cpu", precision="fp32", batch_size=1, engine="timm", reason=reason)
        for model in MILLISECONDS
    ]
    return Bench(
        environment=ENVIRONMENT,
        settings=BenchSettings(batch_sizes=(1,), engines=tuple(FACTORS), threads=1, rounds=9),
        peaks=(
            Peak(device="cpu", precision="fp32", tflops=0.4, gbytes_s=20.0, call_us=2.0),
            Peak(device="cpu", precision="bf16", tflops=None, gbytes_s=20.0, call_us=2.0),
        ),
        cells=tuple(cells),
        left_out=tuple(missing),
    )


def test_ours_is_compared_with_the_best_of_the_others(bench):
    table = against_peers(bench.cells)
    rows = [[entry.text for entry in row] for row in table.rows]
    assert rows == [
        ["cpu", "fp32", "1", "2", "0.900", "0.900", "0.900", "0.900"],
        ["cpu", "bf16", "1", "2", "0.450", "0.450", "0.900", "0.900"],
    ]


def test_a_row_has_every_engine_the_ratios_and_the_floor(bench):
    row = latency_table(bench, ("cpu", "fp32", 1)).rows[1]
    assert [entry.text for entry in row] == ["ResNeXt50_32x4d", "120.0", "60.0", "54.0", "0.90", "2.55"]
    assert row[4].detail == "0.90–0.90"
    # 8.46 GFLOPs at 400 GFLOP/s are 21.15 ms.
    assert row[5].detail == "resnexus"
    assert [entry.text for entry in latency_table(bench, ("cpu", "bf16", 1)).rows[1]][-3:] == ["0.90", "0.45", "–"]


def test_a_penalty_is_time_per_flop_over_the_baselines(bench):
    found = penalties(at(bench.cells, ("cpu", "fp32", 1)))
    assert found["ResNet50_vd", "eager"] == 1
    gflops = {name: resnexus.complexity(name).gflops for name in MILLISECONDS}
    expected = 60 / gflops["ResNeXt50_32x4d"] / (40 / gflops["ResNet50_vd"])
    assert found["ResNeXt50_32x4d", "eager"] == pytest.approx(expected)
    assert found["ResNeXt50_32x4d", "resnexus"] == pytest.approx(expected)
    assert len(penalty_tables(bench.cells)) == 2


def test_the_last_column_is_ours_over_the_baseline_in_plain_pytorch(bench):
    place = ("cpu", "fp32", 1)
    gained = penalties(at(bench.cells, place), against="eager")
    assert gained["ResNet50_vd", "resnexus"] == pytest.approx(0.9 / 2.0)
    own = penalties(at(bench.cells, place))["ResNeXt50_32x4d", "resnexus"]
    assert gained["ResNeXt50_32x4d", "resnexus"] == pytest.approx(own * 0.9 / 2.0)
    table = penalty_tables(bench.cells)[0]
    assert table.columns[-1].title == "resnexus / eager ResNet50_vd"
    assert table.rows[0][-1].text == "0.45"
    without = [found for found in bench.cells if found.engine != "eager"]
    assert penalty_tables(without)[0].columns[-1].title == "resnexus"


def test_a_table_says_what_ours_chose(bench):
    place = ("cpu", "fp32", 1)
    assert len(latency_table(bench, place).remarks) == 1
    cells = tuple(
        replace(found, plan="native() on fold_batch_norm")
        if (found.engine, found.precision) == ("resnexus", "fp32")
        else found
        for found in bench.cells
    )
    chosen = latency_table(replace(bench, cells=cells), place).remarks[1]
    assert chosen == "What resnexus chose: native() on fold_batch_norm (2 networks)."


def test_without_the_baseline_there_is_no_penalty(bench):
    others = [found for found in bench.cells if found.model != "ResNet50_vd"]
    assert penalty_tables(others) == []


def test_how_says_what_was_timed_together_and_after_what(bench):
    assert "All engines and precisions of a network and batch size took turns in 9 rounds, one timed call in" in how(
        bench
    )
    assert "after a quarter of a second of untimed ones, or a pause as long" in how(bench)
    other = replace(bench, peaks=(), settings=replace(bench.settings, together=7, settle_s=0.0))
    assert "of 7 networks and batch size took turns in 9 rounds, one timed call in each after an untimed one;" in how(
        other
    )
    assert how(other).endswith("float32 on the device.")
    slow = replace(bench, settings=replace(bench.settings, settle_s=0.5))
    assert "after 0.5 s of untimed ones" in how(slow)


def test_without_our_engine_there_is_no_comparison(bench):
    others = tuple(found for found in bench.cells if found.engine != "resnexus")
    assert against_peers(others) is None
    assert summary(replace(bench, cells=others)) == "8 cells measured"
    assert "resnexus /" not in page(replace(bench, cells=others))


def test_the_page_says_where_how_and_what_is_missing(bench):
    text = page(bench)
    assert "Measured 2026-01-02 03:04:05 UTC on A processor, 2 cores, Linux 6, Python 3.12.1" in text
    assert "400 GFLOP/s in a product, 20.0 GB/s in a copy" in text
    assert "cpu bf16 no product of PyTorch" in text
    assert left_out(bench) == "- timm in fp32: has no network that computes the same"
    assert summary(bench).splitlines()[1] == (
        "cpu, bf16, batch 1: resnexus takes 0.450 of the time of the best fp32 engine and 0.900 of the best in bf16 "
        "(geometric mean, 2 networks)"
    )


def test_a_row_of_ones_own_is_shown_without_what_needs_its_cost(bench):
    own = tuple(replace(found, model="mine") for found in bench.cells if found.model == "ResNeXt50_32x4d")
    mixed = replace(bench, cells=(*bench.cells, *own))
    row = latency_table(mixed, ("cpu", "fp32", 1)).rows[2]
    assert [entry.text for entry in row] == ["mine", "120.0", "60.0", "54.0", "0.90", "–"]
    assert {model for model, _ in penalties(at(mixed.cells, ("cpu", "fp32", 1)))} == set(MILLISECONDS)
    assert "| mine |" in page(mixed)
    assert "per GFLOP" not in page(replace(bench, cells=own, left_out=()))
