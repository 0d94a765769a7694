from dataclasses import replace
from statistics import fmean, stdev

import pytest

from resnexus.report.data_tables import accuracy_table, latency_files, latency_tables, run_table


def test_accuracy_prints_the_records(comparison):
    table = accuracy_table(comparison)
    assert [column.unit for column in table.columns] == [
        *("", "", "k", "MFLOPs", "%, mean ± s.d.", "%, mean", "points, 95 % interval", "", "s per run")
    ]
    for row, data, network in zip(table.rows, table.data, comparison.networks, strict=True):
        top1 = [run.top1 for run in network.runs]
        cells = [entry.text for entry in row]
        assert cells[:2] == [network.name, network.family]
        assert cells[2] == f"{1e3 * network.mparams:.0f}"
        assert cells[3] == f"{1e3 * network.gflops:.1f}"
        assert cells[4] == f"{100 * fmean(top1):.2f} ± {100 * stdev(top1):.2f}"
        assert cells[5] == f"{100 * fmean(run.top5 for run in network.runs):.2f}"
        assert cells[8] == f"{fmean(run.seconds for run in network.runs):.1f}"
        assert (data["mparams"], data["gflops"], data["seeds"]) == (network.mparams, network.gflops, 3)
        assert data["top1_mean"] == fmean(top1)
        assert data["top1_deviation"] == stdev(top1)
    assert [row[7].text for row in table.rows] == [
        *("reference", "better", "no difference shown", "better", "no difference shown")
    ]


def test_one_seed_has_no_spread(comparison):
    networks = tuple(replace(network, runs=network.runs[:1]) for network in comparison.networks)
    row = accuracy_table(replace(comparison, networks=networks)).rows[1]
    assert (row[4].text, row[4].detail) == (f"{100 * networks[1].runs[0].top1:.2f}", "one seed")
    assert row[7].text == "too few seeds"
    columns = accuracy_table(replace(comparison, networks=networks)).columns
    assert [column.unit for column in columns if column.title == "Top-1 minus ResNet_small"] == ["points"]


def test_a_network_at_chance_is_called_so(comparison):
    guessing = replace(
        comparison.networks[1], runs=tuple(replace(run, top1=40 / 360) for run in comparison.networks[1].runs)
    )
    table = accuracy_table(replace(comparison, networks=(comparison.networks[0], guessing)))
    assert [row[4].detail for row in table.rows] == ["3 seeds", "3 seeds, at chance"]
    one = replace(guessing, runs=guessing.runs[:1])
    assert accuracy_table(replace(comparison, networks=(one,))).rows[0][4].detail == "one seed, at chance"


def test_network_without_runs_has_dashes(comparison):
    networks = (comparison.networks[0], replace(comparison.networks[1], runs=()))
    row = accuracy_table(replace(comparison, networks=networks)).rows[1]
    assert [row[column].text for column in (4, 5, 6, 7, 8)] == ["–"] * 5


def test_no_resnet_no_difference(comparison):
    titles = [c.title for c in accuracy_table(replace(comparison, networks=comparison.networks[1:])).columns]
    assert titles == ["Network", "Family", "Parameters", "FLOPs", "Top-1", "Top-5", "Training"]


@pytest.mark.parametrize(("classes", "shown"), [(2, False), (5, False), (6, True)])
def test_top_5_is_shown_where_it_can_be_wrong(comparison, classes, shown):
    few = replace(comparison, classes=classes)
    for table in (accuracy_table(few), run_table(few)):
        assert [column.title for column in table.columns if column.title.startswith("Top-")] == [
            "Top-1",
            *(["Top-5"] if shown else []),
            *(["Top-1 minus ResNet_small"] if table.name == "data_accuracy" else []),
        ]
        assert all(len(row) == len(table.columns) for row in table.rows)


def test_run_table_has_every_run(comparison):
    table = run_table(comparison)
    runs = [(network.name, run) for network in comparison.networks for run in network.runs]
    assert [(line["network"], line["seed"], line["top1"]) for line in table.data] == [
        (name, run.seed, run.top1) for name, run in runs
    ]
    assert [row[2].text for row in table.rows] == [f"{100 * run.top1:.2f}" for _, run in runs]


def test_images_that_could_not_be_read_are_counted(comparison):
    first = comparison.networks[0]
    bad = replace(first.runs[0], skipped=("a.jpg: is empty",), skipped_in_training=("b.jpg: x", "c.jpg: x"))
    table = run_table(replace(comparison, networks=(replace(first, runs=(bad,)),)))
    assert (table.data[0]["skipped"], table.data[0]["skipped_in_training"]) == (1, 2)
    assert [entry.text for entry in table.rows[0]][-5:] == ["360", "1", "60", "11.5", "2"]


def test_latency_tables_hold_every_cell(comparison):
    (table,) = latency_tables(comparison)
    assert "8x8 pixels" in table.caption
    assert len(table.data) == len(comparison.latency)
    assert [file.name for file in latency_files(comparison)] == [
        "data_latency_cpu_eager_fp32",
        "data_latency_cpu_eager_bf16",
    ]
    medians = {line["median_ms"] for file in latency_files(comparison) for line in file.data}
    assert medians == {cell.median_ms for cell in comparison.latency}


def test_each_device_has_its_table(comparison):
    moved = tuple(replace(c, device="cuda") for c in comparison.latency if c.precision == "bf16")
    tables = latency_tables(replace(comparison, latency=comparison.latency + moved))
    assert ["on cpu" in table.caption for table in tables] == [True, False]
