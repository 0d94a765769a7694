import pytest

from resnexus import complexity
from resnexus.benchmark.cell import Cell
from studies.penalty import penalty_chart, penalty_rows

PLACE = ("cpu", "fp32", 1)


def cells(milliseconds):
    return [
        Cell(
            model=model,
            device="cpu",
            precision="fp32",
            batch_size=1,
            engine=engine,
            image_size=224,
            median_ms=value,
            p10_ms=value,
            p90_ms=value,
            repeats=1,
        )
        for (model, engine), value in milliseconds.items()
    ]


TIMES = {
    ("ResNet50_vd", "eager"): 40.0,
    ("ResNet50_vd", "resnexus"): 20.0,
    ("ResNeXt50_32x4d", "eager"): 60.0,
    ("ResNeXt50_32x4d", "resnexus"): 22.0,
    ("Res2Net50_26w_4s", "eager"): 90.0,
    ("Res2Net50_26w_4s", "resnexus"): 21.0,
}


def test_a_row_is_time_per_flop_over_the_baselines_before_and_after():
    rows = penalty_rows(cells(TIMES), PLACE)
    assert [row["name"] for row in rows] == ["Res2Net50_26w_4s", "ResNeXt50_32x4d"]  # the worst one first
    share = complexity("ResNet50_vd").gflops / complexity("ResNeXt50_32x4d").gflops
    assert rows[1]["before"] == pytest.approx(60 / 40 * share)
    assert rows[1]["after"] == pytest.approx(22 / 20 * share)
    assert rows[1]["left"] == pytest.approx(22 / 40 * share)


def test_there_is_no_chart_without_the_baseline_or_our_engine():
    for gone in ("ResNet50_vd", "resnexus"):
        assert penalty_chart(cells({key: value for key, value in TIMES.items() if gone not in key}), PLACE, "x") is None
