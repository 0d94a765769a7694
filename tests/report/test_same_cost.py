import math
from dataclasses import replace

import pytest

from resnexus.report.record import WrongCell
from resnexus.report.same_cost import answers, baseline, costs, same_cost, same_cost_table, slowdown


def network(comparison, name, **fields):
    found = next(network for network in comparison.series if network.name == name)
    return replace(found, **fields)


@pytest.fixture
def two_resnets(comparison):
    """A line of two ResNets, and one network at their geometric mean."""
    base = {"v100_ms": None, "errata": ()}
    small = network(comparison, "ResNet50_vd", gflops=4.0, mparams=20.0, top1=0.80, t4_ms={"fp32_bs4": 10.0}, **base)
    large = network(comparison, "ResNet101_vd", gflops=16.0, mparams=80.0, top1=0.84, t4_ms={"fp32_bs4": 40.0}, **base)
    between = {"gflops": 8.0, "mparams": 40.0, "top1": 0.83, "t4_ms": {"fp32_bs4": 30.0}}
    other = network(comparison, "ResNeXt50_32x4d", **between, **base)
    return replace(comparison, series=(other, large, small), series_latency=())


def test_the_line_is_interpolated_over_the_logarithm(two_resnets):
    found = {same.cost.key: same.differences for same in same_cost(two_resnets)}
    assert [row.name for row in baseline(two_resnets)] == ["ResNet50_vd", "ResNet101_vd"]
    assert found["flops"]["ResNeXt50_32x4d"] == pytest.approx(0.83 - 0.82)
    at_30_ms = 0.80 + 0.04 * math.log(3) / math.log(4)
    assert found["t4_fp32_bs4"]["ResNeXt50_32x4d"] == pytest.approx(0.83 - at_30_ms)
    ((cost, ratios),) = slowdown(two_resnets)
    assert (cost.key, ratios["ResNeXt50_32x4d"]) == ("t4_fp32_bs4", pytest.approx(1.5))  # 20 ms on the line
    assert answers(two_resnets)[0] == (
        "More accurate than the ResNet line: 1 of 1 network at the same FLOPs, 1 of 1 network at the same parameters "
        "and 0 of 1 network at the same T4 latency (fp32, batch 4)."
    )
    assert "1 of 1 network in T4 latency (fp32, batch 4) (median 1.50 times as long)" in answers(two_resnets)[1]


def test_networks_beyond_the_line_are_not_compared(two_resnets):
    far = [replace(two_resnets.series[0], gflops=flops) for flops in (3.7, 3.9, 16.5, 17.0)]
    seen = [
        any(s.cost.key == "flops" for s in same_cost(replace(two_resnets, series=(row, *two_resnets.series[1:]))))
        for row in far
    ]
    assert seen == [False, True, True, False]


def test_differences_within_the_rounding_are_none(two_resnets):
    close = replace(two_resnets.series[0], top1=0.8209)
    same = same_cost(replace(two_resnets, series=(close, *two_resnets.series[1:])))[0]
    assert same.differences["ResNeXt50_32x4d"] > 0
    assert same.more == 0


def test_wrong_latencies_are_left_out(two_resnets):
    wrong = WrongCell(field="fp32_bs4", published=30.0, counted=None, reason="swapped")
    marked = replace(two_resnets.series[0], errata=(wrong,))
    found = {cost.key: cost for cost in costs(replace(two_resnets, series=(marked, *two_resnets.series[1:])))}
    assert set(found["t4_fp32_bs4"].values) == {"ResNet50_vd", "ResNet101_vd"}


def test_checkpoints_trained_otherwise_are_not_compared(comparison):
    assert not any(name.endswith("_ssld") for same in same_cost(comparison) for name in same.differences)
    assert [cost.key for cost in costs(comparison)] == [
        *("flops", "parameters", "t4_fp32_bs4", "t4_fp16_bs4", "cpu_eager_fp32_bs1")
    ]


def test_table_takes_the_mean_of_a_line(comparison):
    table = same_cost_table(comparison)
    row = next(row for row in table.rows if row[0].text == "ResNeXt_vd_32x4d")
    names = ("ResNeXt50_vd_32x4d", "ResNeXt101_vd_32x4d", "ResNeXt152_vd_32x4d")
    values = [same_cost(comparison)[0].differences[name] for name in names]
    assert row[1].text == f"{100 * sum(values) / 3:+.2f}"
    assert row[1].detail == "3 of 3"
    assert {line["network"] for line in table.data} >= set(names)


def test_without_a_resnet_line_there_is_no_answer(comparison):
    series = tuple(network for network in comparison.series if network.family != "ResNet")
    assert answers(replace(comparison, series=series)) == []
    assert same_cost_table(replace(comparison, series=series)) is None
