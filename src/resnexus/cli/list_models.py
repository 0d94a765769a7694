"""`resnexus list`: the networks and checkpoints, as a table."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resnexus.cli.options import Json, console

if TYPE_CHECKING:
    from rich.table import Table

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
NARROW = ("t4_fp32_bs4", "t4_fp16_bs4", "top5", "family", "mparams", "gflops", "top1")
"""What a narrow terminal does without, the first one first."""

_TITLE_WIDTH = 6  # of the lines of a title where it has no room in one


def list_models(
    pattern: Annotated[
        str | None, typer.Argument(metavar="PATTERN", help="Keep names that contain this, or match it with * and ?.")
    ] = None,
    family: Annotated[str | None, typer.Option(help="Keep one family: Res2Net, ResNeXt, SENet or ResNet.")] = None,
    sort: Annotated[str | None, typer.Option(help=f"Sort by one of: {', '.join(COLUMNS)}.")] = None,
    pretrained: Annotated[bool, typer.Option("--pretrained", help="List the 27 published checkpoints.")] = False,
    json_output: Json = False,
) -> None:
    """List the networks: published accuracy and T4 latency, counted GFLOPs (2 x multiply-adds) and parameters."""
    rows = _rows(family, pretrained)
    if pattern is not None:
        rows = [row for row in rows if matches(row["name"], pattern)]
    if sort is not None:
        rows = _sorted(rows, sort)
    if json_output:
        print(json.dumps(rows, indent=1))
        return
    if not rows:
        asked = {"pattern": pattern, "family": family, "--pretrained": "yes" if pretrained else None}
        shown = ", ".join(f"{name} {value!r}" for name, value in asked.items() if value is not None)
        print(f"nothing matches {shown}: see `resnexus list` for all", file=sys.stderr)
        return
    _print(rows, keep=sort)


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


def matches(name: str, pattern: str) -> bool:
    """Whether a name holds a pattern or, where that has *, ? or [, is of its form; any case."""
    from fnmatch import fnmatchcase

    name, pattern = name.lower(), pattern.lower()
    return fnmatchcase(name, pattern) if any(mark in pattern for mark in "*?[") else pattern in name


def _sorted(rows: list[dict[str, Any]], column: str) -> list[dict[str, Any]]:
    from resnexus.errors import unknown

    if column not in COLUMNS:
        raise unknown("column", column, COLUMNS)
    return sorted(rows, key=lambda row: (row[column] is None, row[column]))


def _print(rows: list[dict[str, Any]], keep: str | None) -> None:
    shown = console()
    table, left_out = fitting(rows, shown.width, keep)
    shown.print(table)
    if left_out:
        print(f"no room for {', '.join(left_out)}; --json has all", file=sys.stderr)


def fitting(rows: list[dict[str, Any]], width: int, keep: str | None = None) -> tuple[Table, list[str]]:
    """Return a table of whole figures for a terminal, and the titles of the columns that it has no room for.

    Args:
        rows: column -> value.
        width: characters in a line.
        keep: a column to keep besides the names.
    """
    columns = [*COLUMNS]
    table = _table(rows, columns, title_width=width)
    for column in (None, *NARROW):
        if _width(table) <= width:
            break
        if column is not None and column != keep:
            columns.remove(column)
        table = _table(rows, columns, title_width=_TITLE_WIDTH)
    return table, [title for column, title in COLUMNS.items() if column not in columns]


def _table(rows: list[dict[str, Any]], columns: list[str], title_width: int) -> Table:
    from textwrap import wrap

    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        title = "\n".join(wrap(COLUMNS[column], title_width, break_long_words=False))
        table.add_column(title, justify="left" if column in ("name", "family") else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(_cell(column, row[column]) for column in columns))
    return table


def _width(table: Table) -> int:
    from rich.console import Console

    console = Console()
    return table.__rich_measure__(console, console.options.update(width=10**6)).maximum


def _cell(column: str, value: Any) -> str:
    if value is None:
        return "-"
    if column in ("top1", "top5"):
        return f"{100 * value:.1f}"
    return f"{value:.2f}" if isinstance(value, float) else str(value)
