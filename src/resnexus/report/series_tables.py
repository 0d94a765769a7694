"""The tables of the second part: the published series beside what was counted and measured."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from resnexus.report.latencies import Latencies, latencies, latency_columns, latency_entry
from resnexus.report.printing import decimals_for, number, percent
from resnexus.report.record import Comparison, SeriesNetwork, WrongCell
from resnexus.report.table import Column, Entry, Footnotes, Table, missing


def is_extra(network: SeriesNetwork) -> bool:
    """Whether it is a second checkpoint of a network, trained with more data or a teacher (SSLD)."""
    return network.name != network.architecture


def wrong(network: SeriesNetwork, field: str) -> WrongCell | None:
    """Return why the published value of `field` is wrong; None if it is not."""
    return next((cell for cell in network.errata if cell.field == field), None)


def series_accuracy_table(comparison: Comparison) -> Table:
    """Return published accuracy, and published beside counted cost, the wrong cells marked."""
    notes = Footnotes()
    rows = []
    for network in comparison.series:
        rows.append(
            (
                Entry(text=network.name),
                Entry(text=network.family),
                Entry(text=percent(network.top1)),
                Entry(text=percent(network.top5)),
                Entry(text=percent(network.reference_top1)),
                Entry(text=percent(network.reference_top5)),
                _published(network, "gflops", network.published_gflops, notes),
                Entry(text=number(network.gflops, 2)),
                _published(network, "mparams", network.published_mparams, notes),
                Entry(text=number(network.mparams, 2)),
            )
        )
    return Table(
        name="series_accuracy",
        caption="The series on ImageNet-1k at 224x224: published accuracy, and published beside counted cost",
        columns=(
            Column(title="Network", text=True),
            Column(title="Family", text=True),
            Column(title="top-1", unit="%", group="Published"),
            Column(title="top-5", unit="%", group="Published"),
            Column(title="top-1", unit="%", group="Paper"),
            Column(title="top-5", unit="%", group="Paper"),
            Column(title="published", unit="GFLOPs", group="FLOPs"),
            Column(title="counted", unit="GFLOPs", group="FLOPs"),
            Column(title="published", unit="M", group="Parameters"),
            Column(title="counted", unit="M", group="Parameters"),
        ),
        rows=tuple(rows),
        notes=notes.texts,
        data=tuple(_data(network) for network in comparison.series),
    )


def series_latency_table(comparison: Comparison) -> Table:
    """Return the published latencies on V100 and T4 and those measured here, the wrong cells marked."""
    found, notes = latencies(comparison.series_latency), Footnotes()
    networks = [network for network in comparison.series if has_latency(network, found)]
    keys = list(dict.fromkeys(key for network in networks for key in network.t4_ms))
    columns = [Column(title="Network", text=True), Column(title="batch 1", unit="ms", group="V100, fp32")]
    columns += [_t4_column(key) for key in keys]
    measured, cells = latency_columns(found, prefix="Here: ")
    decimals = decimals_for(cell.median_ms for row in cells for cell in row.values())
    rows = []
    for network in networks:
        row = [Entry(text=network.name), _latency(network, "v100_ms", network.v100_ms, notes)]
        row += [_latency(network, key, network.t4_ms.get(key), notes) for key in keys]
        row += [latency_entry(timed.get(network.name), decimals, notes) for timed in cells]
        rows.append(tuple(row))
    return Table(
        name="series_latency",
        caption="Latency per batch at 224x224: published on V100 and T4, and measured here",
        columns=(*columns, *measured),
        rows=tuple(rows),
        notes=notes.texts,
        data=tuple(_latency_data(networks, keys, found)),
    )


def has_latency(network: SeriesNetwork, found: Latencies) -> bool:
    """Whether a latency was published or measured under this name."""
    measured = any(network.name in row for sizes in found.cells.values() for row in sizes.values())
    return measured or network.v100_ms is not None or bool(network.t4_ms)


def _published(network: SeriesNetwork, field: str, value: float, notes: Footnotes) -> Entry:
    return _marked(network, field, number(value, 2), notes)


def _latency(network: SeriesNetwork, field: str, value: float | None, notes: Footnotes) -> Entry:
    return missing() if value is None else _marked(network, field, number(value, 2), notes)


def _marked(network: SeriesNetwork, field: str, text: str, notes: Footnotes) -> Entry:
    cell = wrong(network, field)
    if cell is None:
        return Entry(text=text)
    return Entry(text=text, struck=True, notes=(notes.number(cell.reason, network.name),))


def _t4_column(key: str) -> Column:
    precision, _, batch_size = key.partition("_bs")
    return Column(title=f"batch {batch_size}", unit="ms", group=f"T4, {precision}")


def _data(network: SeriesNetwork) -> dict[str, Any]:
    return {
        "network": network.name,
        "architecture": network.architecture,
        "family": network.family,
        "line": network.line,
        "top1": network.top1,
        "top5": network.top5,
        "reference_top1": network.reference_top1,
        "reference_top5": network.reference_top5,
        "published_gflops": network.published_gflops,
        "gflops": network.gflops,
        "published_mparams": network.published_mparams,
        "mparams": network.mparams,
        "errata": _reasons(network, ("gflops", "mparams")),
    }


def _latency_data(networks: Iterable[SeriesNetwork], keys: list[str], found: Latencies) -> Iterable[dict[str, Any]]:
    for network in networks:
        line: dict[str, Any] = {"network": network.name, "v100_fp32_bs1_ms": network.v100_ms}
        line |= {f"t4_{key}_ms": network.t4_ms.get(key) for key in keys}
        for setting, sizes in found.cells.items():
            for batch_size, row in sizes.items():
                cell, name = row.get(network.name), f"{setting.file_name}_bs{batch_size}"
                line[f"{name}_median_ms"] = cell.median_ms if cell else None
                line[f"{name}_p10_ms"] = cell.p10_ms if cell else None
                line[f"{name}_p90_ms"] = cell.p90_ms if cell else None
        yield line | {"errata": _reasons(network, ("v100_ms", *keys))}


def _reasons(network: SeriesNetwork, fields: Iterable[str]) -> str:
    return "; ".join(f"{cell.field}: {cell.reason}" for cell in network.errata if cell.field in set(fields))
