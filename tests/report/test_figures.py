from dataclasses import replace
from statistics import fmean, stdev

import pytest

from resnexus.report.figures import data_figures, series_figures, short_label


def test_data_figures_are_the_four_of_the_original_page(comparison):
    assert [figure.name for figure in data_figures(comparison)] == [
        "data_accuracy_flops",
        "data_accuracy_parameters",
        "data_accuracy_latency_cpu_eager_fp32_bs4",
        "data_accuracy_latency_cpu_eager_bf16_bs4",
    ]


def test_points_are_the_records(comparison):
    flops, size, fp32, _ = data_figures(comparison)
    for index, network in enumerate(comparison.networks):
        top1 = [100 * run.top1 for run in network.runs]
        for figure in (flops, size, fp32):
            point = figure.points[index]
            assert (point.name, point.family) == (network.name, network.family)
            assert point.y == pytest.approx(fmean(top1))
            assert point.y_range == pytest.approx((fmean(top1) - stdev(top1), fmean(top1) + stdev(top1)))
        assert flops.points[index].x == pytest.approx(1e3 * network.gflops)
        assert size.points[index].x == pytest.approx(1e3 * network.mparams)
        cell = next(c for c in comparison.latency if (c.model, c.batch_size) == (network.name, 4))
        assert fp32.points[index].x == cell.median_ms
        assert fp32.points[index].x_range == (cell.p10_ms, cell.p90_ms)
    assert (flops.x_title, size.x_title) == ("FLOPs (MFLOPs)", "Parameters (k)")
    assert fp32.x_title == "Latency per batch of 4, fp32 (ms)"


def test_one_seed_has_no_bar(comparison):
    networks = tuple(replace(network, runs=network.runs[:1]) for network in comparison.networks)
    figure = data_figures(replace(comparison, networks=networks))[0]
    assert all(point.y_range is None for point in figure.points)
    assert "standard deviation" not in figure.caption


def test_bars_end_at_100_percent(comparison):
    first = comparison.networks[0]
    wide = tuple(replace(run, top1=top1) for run, top1 in zip(first.runs, (1.0, 0.5, 1.0), strict=True))
    low = tuple(replace(run, top1=top1) for run, top1 in zip(first.runs, (0.0, 0.3, 0.0), strict=True))
    networks = (replace(first, runs=wide), replace(comparison.networks[1], runs=low))
    up, down = data_figures(replace(comparison, networks=networks))[0].points
    assert up.y_range == (pytest.approx(100 * (fmean((1, 0.5, 1)) - stdev((1, 0.5, 1)))), 100)
    assert down.y_range == (0, pytest.approx(100 * (fmean((0, 0.3, 0)) + stdev((0, 0.3, 0)))))


def test_the_smallest_batch_stands_in_for_four(comparison):
    cells = tuple(cell for cell in comparison.latency if cell.batch_size != 4 and cell.precision == "fp32")
    assert data_figures(replace(comparison, latency=cells))[-1].name.endswith("fp32_bs1")


def test_networks_without_runs_or_latency_are_left_out(comparison):
    networks = (replace(comparison.networks[0], runs=()), *comparison.networks[1:])
    figures = data_figures(replace(comparison, networks=networks, latency=comparison.latency[:12]))
    assert [len(figure.points) for figure in figures] == [4, 4, 1, 1]
    assert data_figures(replace(comparison, networks=())) == []


def test_series_figures_use_counted_and_published_figures(comparison):
    figures = {figure.name: figure for figure in series_figures(comparison)}
    assert list(figures) == [
        "series_accuracy_flops",
        "series_accuracy_parameters",
        "series_accuracy_t4_fp32_bs4",
        "series_accuracy_t4_fp16_bs4",
        "series_accuracy_cpu_eager_fp32_bs1",
    ]
    networks = {network.name: network for network in comparison.series}
    for point in figures["series_accuracy_flops"].points:
        assert (point.x, point.y) == (networks[point.name].gflops, 100 * networks[point.name].top1)
        assert point.hollow == point.name.endswith("_ssld") == (point.line == "")
    for point in figures["series_accuracy_t4_fp16_bs4"].points:
        assert point.x == networks[networks[point.name].architecture].t4_ms["fp16_bs4"]
    assert {point.name for point in figures["series_accuracy_cpu_eager_fp32_bs1"].points} == {
        cell.model for cell in comparison.series_latency
    }


def test_one_network_of_a_line_carries_the_full_name(comparison):
    labels = {point.name: point.label for point in series_figures(comparison)[0].points}
    assert labels["ResNeXt101_32x4d"] == "101"
    assert labels["ResNeXt152_32x4d"] == "ResNeXt152_32x4d"
    assert labels["SENet154_vd"] == "SENet154_vd"
    assert labels["Res2Net50_vd_26w_4s"] == "50"
    assert labels["Res2Net50_vd_26w_4s_ssld"] == "Res2Net50_vd_26w_4s_ssld"


@pytest.mark.parametrize(
    ("name", "line", "label"),
    [
        ("Res2Net101_vd_26w_4s", "Res2Net_vd_26w_4s", "101"),
        ("ResNet50", "ResNet", "50"),
        ("mine", "mine", "mine"),
        ("a1b2", "other", "a1b2"),
        ("50", "", "50"),
    ],
)
def test_short_label(name, line, label):
    assert short_label(name, line) == label
