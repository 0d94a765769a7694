"""A table: what the page and Markdown show, and the unrounded values that CSV keeps."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from resnexus.errors import printable
from resnexus.report.printing import MISSING

_FORMULA = ("=", "+", "-", "@")
"""What begins a formula in a spreadsheet."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column.

    Attributes:
        title: what it holds.
        unit: of every number in it; empty for text.
        group: title over neighbouring columns that belong together; empty for none.
        text: aligned left instead of right.
    """

    title: str
    unit: str = ""
    group: str = ""
    text: bool = False


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One printed cell.

    Attributes:
        text: the value.
        detail: a spread or a name, in smaller print below it.
        notes: numbers of the table's notes that apply, from 1.
        struck: printed as wrong.
    """

    text: str
    detail: str = ""
    notes: tuple[int, ...] = ()
    struck: bool = False


@dataclass(frozen=True, kw_only=True)
class Heading:
    """A title over one or more columns, one or two rows high."""

    title: str
    unit: str = ""
    text: bool = False
    columns: int = 1
    rows: int = 1


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of the report.

    Attributes:
        name: of its files.
        caption: what it shows.
        columns: from left to right; the first names the row.
        rows: printed cells, one for each column.
        notes: footnotes, the first is number 1.
        remarks: sentences about the whole table.
        data: the same unrounded for CSV, one mapping of column name -> value for each line.
    """

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Entry, ...], ...]
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    data: tuple[Mapping[str, Any], ...] = ()

    @property
    def heading(self) -> tuple[list[Heading], list[Heading]]:
        """The cells of the first and, where columns have groups, of the second row of titles."""
        grouped = any(column.group for column in self.columns)
        first: list[Heading] = []
        second: list[Heading] = []
        for column in self.columns:
            own = Heading(title=column.title, unit=column.unit, text=column.text)
            if not column.group:
                first.append(replace(own, rows=2 if grouped else 1))
                continue
            second.append(own)
            if first and first[-1].rows == 1 and first[-1].title == column.group:
                first[-1] = replace(first[-1], columns=first[-1].columns + 1)
            else:
                first.append(Heading(title=column.group))
        return first, second


def to_markdown(table: Table) -> str:
    """Return the table in GitHub's Markdown: wrong values struck through, notes numbered below."""
    titles = [_title(column) for column in table.columns]
    rules = [":--" if column.text else "--:" for column in table.columns]
    rows = [[_markdown(entry) for entry in row] for row in table.rows]
    lines = ["| " + " | ".join(cells) + " |" for cells in (titles, rules, *rows)]
    text = "\n".join([_escape(table.caption), "", *lines])
    if table.notes:
        text += "\n\n" + "\n".join(f"{index}. {_escape(note)}" for index, note in enumerate(table.notes, 1))
    return "\n\n".join([text, *map(_escape, table.remarks)]) + "\n"


def to_csv(table: Table) -> str:
    """Return the unrounded values as CSV, units in the column names; empty where there is none.

    Text that a spreadsheet would compute gets an apostrophe in front; control characters become escapes.
    """
    stream = io.StringIO()
    names = list(dict.fromkeys(name for line in table.data for name in line))
    writer = csv.DictWriter(stream, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: csv_cell(value) for name, value in line.items()} for line in table.data)
    return stream.getvalue()


class Footnotes:
    """Reasons, numbered from 1 in the order in which they are first needed."""

    def __init__(self) -> None:
        self._networks: dict[str, dict[str, None]] = defaultdict(dict)

    def number(self, reason: str, network: str) -> int:
        """Return the number of a reason, and remember that it applies to `network`."""
        self._networks[reason][network] = None
        return list(self._networks).index(reason) + 1

    @property
    def texts(self) -> tuple[str, ...]:
        """The notes: each reason, and the networks it applies to."""
        return tuple(f"{reason}: {', '.join(names)}." for reason, names in self._networks.items())


def missing() -> Entry:
    """Return the cell for a value that there is not."""
    return Entry(text=MISSING)


def csv_cell(value: Any) -> Any:
    """Return a value for a cell of CSV: text that a spreadsheet would compute with an apostrophe in front."""
    if value is None:
        return ""
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _title(column: Column) -> str:
    words = ", ".join(part for part in (column.group, column.title) if part)
    return _escape(f"{words} ({column.unit})" if column.unit else words)


def _markdown(entry: Entry) -> str:
    text = _escape(entry.text)
    if entry.struck:
        text = f"~~{text}~~"
    if entry.notes:
        text += " [" + ", ".join(map(str, entry.notes)) + "]"
    return text + (f" ({_escape(entry.detail)})" if entry.detail else "")


def _escape(text: str) -> str:
    for special in ("\\", "`", "*", "_", "[", "]", "|", "~"):
        text = text.replace(special, "\\" + special)
    return " ".join(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").split())
