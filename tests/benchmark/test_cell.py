from dataclasses import replace
from pathlib import Path

import pytest

from resnexus import ResnexusError
from resnexus.benchmark.bench import Bench
from resnexus.benchmark.cell import Cell, is_unsteady
from resnexus.records import read_json

RESULTS = Path(__file__).parents[2] / "results"
CELL = Cell(
    model="a",
    device="cpu",
    precision="fp32",
    batch_size=4,
    engine="eager",
    image_size=224,
    median_ms=8.0,
    p10_ms=6.0,
    p90_ms=10.0,
    repeats=5,
    agreement=0.0,
    cosine=1.0,
)


def test_throughput_is_images_per_second_at_the_median():
    assert CELL.throughput_img_s == 500.0


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("median_ms", 0.0, "a time of 0.0 ms: expected more than 0"),
        ("p90_ms", float("inf"), "a time of inf ms"),
        ("rounds_ms", (1.0, float("nan")), "a time of nan ms"),
        ("p10_ms", 9.0, "p10_ms=9.0, median_ms=8.0, p90_ms=10.0: expected no value below the one before it"),
        ("p90_ms", 7.0, "expected no value below the one before it"),
        ("worst_map", 3, "worst_map=3: expected one of the maps"),
        ("batch_size", 0, "batch_size=0: expected a whole number of at least 1"),
        ("image_size", -1, "image_size=-1"),
        ("repeats", 0, "repeats=0"),
        ("agreement", float("nan"), "agreement=nan: expected at least 0"),
        ("cosine", 1.1, "cosine=1.1: expected -1 to 1"),
        ("cosine", float("nan"), "cosine=nan"),
    ],
)
def test_a_cell_holds_what_can_have_been_measured(field, value, message):
    with pytest.raises(ResnexusError, match=message):
        replace(CELL, **{field: value})


def test_a_cosine_may_be_rounded_up():
    assert replace(CELL, cosine=1.0000000000000013).cosine > 1


def test_a_busy_machine_shows_in_the_percentiles():
    assert not is_unsteady(CELL)
    assert not is_unsteady(replace(CELL, p90_ms=11.9))
    assert is_unsteady(replace(CELL, p90_ms=12.0))
    assert is_unsteady(replace(CELL, p10_ms=0.022, p90_ms=1544.0))


def test_the_rule_calls_none_of_our_own_records_unsteady():
    paths = [*RESULTS.glob("bench_*.json"), *RESULTS.glob("engines_*.json")]
    cells = [cell for path in paths for cell in read_json(Bench, path).cells]
    assert len(cells) > 1000
    assert not any(is_unsteady(cell) for cell in cells)
    ratios = sorted(cell.p90_ms / cell.p10_ms for cell in cells)
    assert ratios[int(0.95 * len(ratios))] < 1.3
    assert ratios[-1] < 1.8
