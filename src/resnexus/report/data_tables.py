"""The tables of the first part: the networks that were trained on the user's data."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean
from typing import Any

from resnexus.evaluation.metrics import Spread, spread
from resnexus.report.findings import difference, is_at_chance, reference
from resnexus.report.latencies import Latencies, agreement_remarks, latencies, latency_table
from resnexus.report.printing import (
    MISSING,
    counted,
    decimals_for,
    flops_unit,
    has_top5,
    number,
    parameters_unit,
    percent,
    signed,
)
from resnexus.report.record import Comparison, TrainedNetwork
from resnexus.report.table import Column, Entry, Table, missing


def accuracy_table(comparison: Comparison) -> Table:
    """Return accuracy with its spread, size, cost and training time, one row for each network."""
    networks, other = comparison.networks, reference(comparison)
    flops = flops_unit(network.gflops for network in networks)
    size = parameters_unit(network.mparams for network in networks)
    flops_decimals = decimals_for(network.gflops * flops.factor for network in networks)
    size_decimals = decimals_for(network.mparams * size.factor for network in networks)
    columns = [
        Column(title="Network", text=True),
        Column(title="Family", text=True),
        Column(title="Parameters", unit=size.name),
        Column(title="FLOPs", unit=flops.name),
        Column(title="Top-1", unit="%, mean ± s.d."),
    ]
    if has_top5(comparison.classes):
        columns.append(Column(title="Top-5", unit="%, mean"))
    if other is not None:
        known = any(found and found.interval for found in (difference(network, other) for network in networks))
        columns += [
            Column(title=f"Top-1 minus {other.name}", unit="points, 95 % interval" if known else "points"),
            Column(title="Finding", text=True),
        ]
    columns.append(Column(title="Training", unit="s per run"))
    rows = []
    for network in networks:
        row = [
            Entry(text=network.name),
            Entry(text=network.family),
            Entry(text=number(network.mparams * size.factor, size_decimals)),
            Entry(text=number(network.gflops * flops.factor, flops_decimals)),
            _accuracy(comparison, network),
        ]
        if has_top5(comparison.classes):
            row.append(Entry(text=percent(_mean([run.top5 for run in network.runs]))))
        if other is not None:
            row += _difference(network, other)
        row.append(Entry(text=number(_mean([run.seconds for run in network.runs]), 1)))
        rows.append(tuple(row))
    return Table(
        name="data_accuracy",
        caption=f"Accuracy on {comparison.data}, and what each network costs",
        columns=tuple(columns),
        rows=tuple(rows),
        data=tuple(_data(network, other) for network in networks),
    )


def run_table(comparison: Comparison) -> Table:
    """Return every training run: its seed, accuracies, images, and time."""
    data = [
        {
            "network": network.name,
            "seed": run.seed,
            "top1": run.top1,
            "top5": run.top5,
            "images": run.images,
            "skipped": len(run.skipped),
            "skipped_in_training": len(run.skipped_in_training),
            "epochs": run.epochs,
            "seconds": run.seconds,
        }
        for network in comparison.networks
        for run in network.runs
    ]
    top5 = has_top5(comparison.classes)
    columns = (
        Column(title="Network", text=True),
        Column(title="Seed", unit="number"),
        Column(title="Top-1", unit="%"),
        *([Column(title="Top-5", unit="%")] if top5 else []),
        Column(title="Evaluated", unit="images"),
        Column(title="Skipped", unit="images"),
        Column(title="Training", unit="epochs"),
        Column(title="Training", unit="s"),
        Column(title="Skipped in training", unit="images"),
    )
    rows = tuple(
        (
            Entry(text=network.name),
            Entry(text=str(run.seed)),
            Entry(text=percent(run.top1)),
            *([Entry(text=percent(run.top5))] if top5 else []),
            Entry(text=number(run.images, 0)),
            Entry(text=number(len(run.skipped), 0)),
            Entry(text=number(run.epochs, 0)),
            Entry(text=number(run.seconds, 1)),
            Entry(text=number(len(run.skipped_in_training), 0)),
        )
        for network in comparison.networks
        for run in network.runs
    )
    caption = f"Every training run on {comparison.data}"
    return Table(name="data_runs", caption=caption, columns=columns, rows=rows, data=tuple(data))


def latency_tables(comparison: Comparison) -> list[Table]:
    """Return the latencies on this machine for the page: one table for each device and engine."""
    found = latencies(comparison.latency)
    models = [network.name for network in comparison.networks]
    sizes = sorted({network.image_size for network in comparison.networks})
    pixels = " or ".join(f"{size}x{size}" for size in sizes)
    tables = []
    for device, engine in dict.fromkeys((setting.device, setting.engine) for setting in found.settings):
        part = Latencies(
            {s: cells for s, cells in found.cells.items() if (s.device, s.engine) == (device, engine)},
        )
        caption = (
            f"Latency per batch on {device}, engine {engine}, images of {pixels} pixels: "
            "median, below it the 10th to 90th percentile"
        )
        name = f"data_latency_{part.settings[0].file_name}" if len(part.settings) == 1 else "data_latency"
        table = latency_table(name, caption, models, part)
        tables.append(replace(table, remarks=tuple(agreement_remarks(part))))
    return tables


def latency_files(comparison: Comparison) -> list[Table]:
    """Return the same latencies for the files: one table for each device, engine and precision."""
    found = latencies(comparison.latency)
    models = [network.name for network in comparison.networks]
    tables = []
    for setting, cells in found.cells.items():
        caption = f"Latency per batch: {setting.title}; median (10th to 90th percentile)"
        tables.append(
            latency_table(f"data_latency_{setting.file_name}", caption, models, Latencies({setting: cells})),
        )
    return tables


def _mean(values: list[float]) -> float | None:
    return fmean(values) if values else None


def _spread(network: TrainedNetwork) -> Spread | None:
    return spread([run.top1 for run in network.runs]) if network.runs else None


def _accuracy(comparison: Comparison, network: TrainedNetwork) -> Entry:
    found = _spread(network)
    if found is None:
        return missing()
    chance = ", at chance" if is_at_chance(comparison, network) else ""
    if found.std is None:
        return Entry(text=percent(found.mean), detail=f"one seed{chance}")
    detail = counted(found.count, "seed") + chance
    return Entry(text=f"{percent(found.mean)} ± {percent(found.std)}", detail=detail)


def _difference(network: TrainedNetwork, other: TrainedNetwork) -> list[Entry]:
    found = difference(network, other)
    if found is None:
        reason = "reference" if network is other else "no common seed" if network.runs else MISSING
        return [missing(), Entry(text=reason)]
    return [Entry(text=signed(100 * found.mean, 2), detail=found.range), Entry(text=found.finding)]


def _data(network: TrainedNetwork, other: TrainedNetwork | None) -> dict[str, Any]:
    top1, found = _spread(network), difference(network, other)
    interval = found.interval if found else None
    return {
        "network": network.name,
        "family": network.family,
        "line": network.line,
        "image_size": network.image_size,
        "mparams": network.mparams,
        "gflops": network.gflops,
        "seeds": len(network.runs),
        "top1_mean": top1.mean if top1 else None,
        "top1_deviation": top1.std if top1 else None,
        "top5_mean": _mean([run.top5 for run in network.runs]),
        "reference": other.name if other else None,
        "top1_difference": found.mean if found else None,
        "top1_difference_half_width": interval.half_width if interval else None,
        "pairs": found.pairs if found else None,
        "finding": found.finding if found else None,
        "training_seconds_mean": _mean([run.seconds for run in network.runs]),
    }
