"""Latencies by what was measured: device, engine and precision, then network and batch size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from resnexus.benchmark.cell import UNSTEADY, Cell, is_unsteady
from resnexus.errors import ResnexusError
from resnexus.report.printing import decimals_for, file_name, number
from resnexus.report.table import Column, Entry, Footnotes, Table, missing

BUSY = f"The machine was busy: the 90th percentile is {UNSTEADY:g} or more times the 10th, so the median says little"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What ran the networks; latencies of one setting can be compared with each other."""

    device: str
    engine: str
    precision: str

    @property
    def title(self) -> str:
        """The setting in print, e.g. `"cpu, eager, fp32"`."""
        return f"{self.device}, {self.engine}, {self.precision}"

    @property
    def file_name(self) -> str:
        """The setting as part of a file's name, e.g. `"cpu_eager_fp32"`."""
        return file_name(self.device, self.engine, self.precision)


@dataclass(frozen=True)
class Latencies:
    """The cells of a comparison, each found by setting, batch size and network.

    Attributes:
        cells: setting -> batch size -> network -> cell; settings in the order of the records, sizes ascending.
    """

    cells: dict[Setting, dict[int, dict[str, Cell]]]

    @property
    def settings(self) -> list[Setting]:
        """The settings, in the order of the records."""
        return list(self.cells)

    def batch_sizes(self, setting: Setting) -> list[int]:
        """The batch sizes that were timed in one setting."""
        return list(self.cells[setting])

    def at(self, setting: Setting, batch_size: int, model: str) -> Cell | None:
        """The latency of one network; None if it was not timed."""
        return self.cells[setting].get(batch_size, {}).get(model)


def latencies(cells: Iterable[Cell]) -> Latencies:
    """Sort cells by setting, batch size and network.

    Raises:
        ResnexusError: one network has two latencies in the same setting, batch size and image size.
    """
    found: dict[Setting, dict[int, dict[str, Cell]]] = {}
    for cell in cells:
        setting = Setting(device=cell.device, engine=cell.engine, precision=cell.precision)
        row = found.setdefault(setting, {}).setdefault(cell.batch_size, {})
        if cell.model in row:
            raise ResnexusError(
                f"{cell.model} has two latencies for {setting.title}, batch size {cell.batch_size}: "
                "remove one of the two records"
            )
        row[cell.model] = cell
    return Latencies({setting: dict(sorted(sizes.items())) for setting, sizes in found.items()})


def latency_table(name: str, caption: str, models: Sequence[str], found: Latencies) -> Table:
    """Return one row for each network that was timed and one column for each precision and batch size.

    Args:
        name: of the table's files.
        caption: what was timed.
        models: networks in the order of the rows.
        found: cells of one device and engine.
    """
    columns, cells = latency_columns(found)
    timed = {model: None for row in cells for model in row}
    timed = {model: None for model in models if model in timed} | timed
    decimals = decimals_for(cell.median_ms for row in cells for cell in row.values())
    notes = Footnotes()
    rows = [(Entry(text=model), *(latency_entry(row.get(model), decimals, notes) for row in cells)) for model in timed]
    return Table(
        name=name,
        caption=caption,
        columns=(Column(title="Network", text=True), *columns),
        rows=tuple(rows),
        notes=notes.texts,
        data=tuple(_data(row[model]) for model in timed for row in cells if model in row),
    )


def latency_columns(found: Latencies, prefix: str = "") -> tuple[list[Column], list[dict[str, Cell]]]:
    """Return a column for each setting and batch size, and the cells that belong in it by network."""
    columns, cells = [], []
    for setting, sizes in found.cells.items():
        group = f"{prefix}{setting.title}" if prefix else setting.precision
        for batch_size, row in sizes.items():
            columns.append(Column(title=f"batch {batch_size}", unit="ms", group=group))
            cells.append(row)
    return columns, cells


def latency_entry(cell: Cell | None, decimals: int, notes: Footnotes) -> Entry:
    """Print a median, and the tenth to ninetieth percentile below it; a note if the machine was busy."""
    if cell is None:
        return missing()
    low, high = number(cell.p10_ms, decimals), number(cell.p90_ms, decimals)
    numbers = (notes.number(BUSY, cell.model),) if is_unsteady(cell) else ()
    return Entry(text=number(cell.median_ms, decimals), detail=f"{low}–{high}", notes=numbers)


def agreement_remarks(found: Latencies) -> list[str]:
    """Say how far each faster form is from the plain network, where that was measured."""
    notes = []
    for setting, sizes in found.cells.items():
        figures = [cell.agreement for row in sizes.values() for cell in row.values() if cell.agreement is not None]
        if any(figures):  # the plain network itself differs by nothing
            notes.append(
                f"{setting.title}: the logits differ from those of the plain fp32 network by at most "
                f"{100 * max(figures):.2g} % of the largest logit."
            )
    return notes


def _data(cell: Cell) -> dict[str, Any]:
    return {name: value for name, value in asdict(cell).items() if name != "rounds_ms"}
