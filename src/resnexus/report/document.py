"""The report: one page that opens offline, and beside it the tables, the figures and the records."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from resnexus.files import write_bytes
from resnexus.records import write_json
from resnexus.report.chart import DARK
from resnexus.report.conditions import facts, quick_note, repeats, summary
from resnexus.report.data_tables import accuracy_table, latency_files, latency_tables, run_table
from resnexus.report.drawing import draw, narrow, rasterise, wide
from resnexus.report.figures import Figure, data_figures, series_figures
from resnexus.report.findings import caution, findings, skipped, skipped_in_training
from resnexus.report.record import Comparison
from resnexus.report.same_cost import answers, same_cost_table
from resnexus.report.series_tables import series_accuracy_table, series_latency_table
from resnexus.report.table import Table, to_csv, to_markdown
from resnexus.report.templates import shipped, template

GENERATOR = "resnexus"
"""By which a page is known as ours."""

_HEAD_BYTES = 4096


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A figure, drawn for a desk's screen and for a phone's, as SVG."""

    figure: Figure
    wide: str
    narrow: str


@dataclass(frozen=True, kw_only=True)
class Tables:
    """The tables of a report; those of the series have no rows if it was left out.

    Attributes:
        accuracy: of the networks that were trained; None if there are none.
        runs: every training.
        latency: of these networks, for the page: one for each device and engine.
        latency_files: the same for the files: one for each device, engine and precision.
        series_accuracy: published accuracy and cost.
        series_latency: published and measured.
        same_cost: against the ResNet line; None if there is none.
    """

    accuracy: Table | None
    runs: Table
    latency: list[Table]
    latency_files: list[Table]
    series_accuracy: Table
    series_latency: Table
    same_cost: Table | None

    @property
    def files(self) -> list[Table]:
        """The tables that are written beside the page."""
        data = [self.accuracy, self.runs, *self.latency_files] if self.accuracy else []
        series = [self.series_accuracy, self.series_latency, self.same_cost] if self.series_accuracy.rows else []
        return [table for table in (*data, *series) if table]


def build_tables(comparison: Comparison) -> Tables:
    """Return the tables of a comparison.

    Raises:
        ResnexusError: the records contradict themselves.
    """
    return Tables(
        accuracy=accuracy_table(comparison) if comparison.networks else None,
        runs=run_table(comparison),
        latency=latency_tables(comparison),
        latency_files=latency_files(comparison),
        series_accuracy=series_accuracy_table(comparison),
        series_latency=series_latency_table(comparison),
        same_cost=same_cost_table(comparison),
    )


def write_report(comparison: Comparison, out: Path) -> Path:
    """Write the report of a comparison into the folder `out`, and return its page.

    `index.html` needs no other file and no network. Beside it: `results.json`, from which all the rest can be built
    again, `tables/*.md` and `tables/*.csv`, `figures/*.png` and `figures/*.svg`. Every file is whole or absent.

    Args:
        comparison: what was counted and measured.
        out: created if it does not exist; files of the same names are replaced.

    Raises:
        ResnexusError: a file cannot be written, a package for the figures is missing, or the records contradict
            themselves.
    """
    write_json(comparison, out / "results.json")
    tables = build_tables(comparison)
    on_data = [drawn(figure) for figure in data_figures(comparison)]
    on_series = [drawn(figure) for figure in series_figures(comparison)]
    text = render(comparison, tables, on_data, on_series)
    for table in tables.files:
        _write(to_markdown(table), out / "tables" / f"{table.name}.md")
        _write(to_csv(table), out / "tables" / f"{table.name}.csv")
    for drawing in on_data + on_series:
        _write(drawing.wide, out / "figures" / f"{drawing.figure.name}.svg")
        write_bytes(rasterise(drawing.wide), out / "figures" / f"{drawing.figure.name}.png")
    _write(text, out / "index.html")
    return out / "index.html"


def render(comparison: Comparison, tables: Tables, on_data: list[Drawing], on_series: list[Drawing]) -> str:
    """Return the page as HTML; the same records give the same bytes.

    Args:
        comparison: what was counted and measured.
        tables: of the comparison.
        on_data: figures of the first part.
        on_series: figures of the second part.

    Raises:
        ResnexusError: jinja2 is missing, or the records contradict themselves.
    """
    return str(
        template("page.html").render(
            comparison=comparison,
            generator=GENERATOR,
            css=shipped("page.css"),
            dark=DARK,
            summary=summary(comparison),
            facts=facts(comparison),
            findings=findings(comparison),
            caution=caution(comparison),
            skipped=skipped(comparison),
            skipped_in_training=skipped_in_training(comparison),
            tables=tables,
            data_figures=on_data,
            series_figures=on_series,
            answers=answers(comparison),
            quick_note=quick_note(comparison),
            repeats=repeats(comparison),
        )
    )


def is_report(page: Path, generator: str = GENERATOR) -> bool:
    """Whether a file is a page that `write_report` wrote, or the writer of another of our pages, by its `generator`."""
    try:
        with page.open("rb") as file:
            return f'content="{generator}"'.encode() in file.read(_HEAD_BYTES)
    except OSError:
        return False


def _write(text: str, path: Path) -> None:
    """Write text; a lone surrogate, as in a file name that is not UTF-8, becomes an escape."""
    write_bytes(text.encode("utf-8", "backslashreplace"), path)


def drawn(figure: Figure) -> Drawing:
    """Return a figure drawn in both sizes."""
    return Drawing(figure=figure, wide=draw(figure, wide(figure)), narrow=draw(figure, narrow(figure)))
