"""`resnexus list`: the networks and checkpoints, as a table."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

COLUMNS = {
    "name": "network",
    "family": "family",
    "top1": "top-1 %",
    "top5": "top-5 %",
    "gflops": "GFLOPs",
    "mparams": "params M",
    "t4_fp16_bs4": "T4 fp16 bs4 ms",
    "t4_fp32_bs4": "T4 fp32 bs4 ms",
}


def list_models(
    pattern: Annotated[
        str | None, typer.Argument(help="Keep names that contain this, or match it with * and ?.")
    ] = None,
    family: Annotated[str | None, typer.Option(help="Keep one family: Res2Net, ResNeXt, SENet or ResNet.")] = None,
    sort: Annotated[str | None, typer.Option(help=f"Sort by one of: {', '.join(COLUMNS)}.")] = None,
    pretrained: Annotated[bool, typer.Option("--pretrained", help="List the 27 published checkpoints.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the networks: published accuracy and T4 latency, counted GFLOPs (2 x multiply-adds) and parameters."""
    rows = _rows(family, pretrained)
    if pattern is not None:
        rows = [row for row in rows if _matches(row["name"], pattern)]
    if sort is not None:
        rows = _sorted(rows, sort)
    if json_output:
        print(json.dumps(rows, indent=1))
        return
    _print(rows)


def _rows(family: str | None, pretrained: bool) -> list[dict[str, Any]]:
    import resnexus
    from resnexus.series.published import checkpoint_entries, published

    names = resnexus.list_models(family)
    entries = [(name, name) for name in names]
    if pretrained:
        entries = [(entry["checkpoint"], entry["architecture"]) for entry in checkpoint_entries()]
    return [
        {
            "name": name,
            "family": resnexus.architecture(row).family,
            "top1": published(name).top1,
            "top5": published(name).top5,
            "gflops": round(resnexus.complexity(row).gflops, 2),
            "mparams": round(resnexus.complexity(row).mparams, 2),
            "t4_fp16_bs4": published(name).t4_ms.get("fp16_bs4"),
            "t4_fp32_bs4": published(name).t4_ms.get("fp32_bs4"),
        }
        for name, row in entries
        if row in names
    ]


def _matches(name: str, pattern: str) -> bool:
    from fnmatch import fnmatchcase

    name, pattern = name.lower(), pattern.lower()
    return fnmatchcase(name, pattern) if any(mark in pattern for mark in "*?[") else pattern in name


def _sorted(rows: list[dict[str, Any]], column: str) -> list[dict[str, Any]]:
    from resnexus.errors import unknown

    if column not in COLUMNS:
        raise unknown("column", column, COLUMNS)
    return sorted(rows, key=lambda row: (row[column] is None, row[column]))


def _print(rows: list[dict[str, Any]]) -> None:
    import sys

    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column, title in COLUMNS.items():
        text = column in ("name", "family")
        table.add_column(title, justify="left" if text else "right", no_wrap=text)
    for row in rows:
        table.add_row(*(_cell(column, row[column]) for column in COLUMNS))
    # A pipe has no width to fit into.
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def _cell(column: str, value: Any) -> str:
    if value is None:
        return "-"
    if column in ("top1", "top5"):
        return f"{100 * value:.1f}"
    return f"{value:.2f}" if isinstance(value, float) else str(value)
