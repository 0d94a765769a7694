"""The report: one page that opens offline, and beside it the tables, the figures and the records."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from resnexus.errors import ResnexusError
from resnexus.files import write_bytes, write_text
from resnexus.records import write_json
from resnexus.report.chart import DARK
from resnexus.report.conditions import facts, quick_note, repeats, summary
from resnexus.report.data_tables import accuracy_table, latency_files, latency_tables, run_table
from resnexus.report.drawing import draw, for_page, narrow, rasterise, wide
from resnexus.report.figures import Figure, data_figures, series_figures
from resnexus.report.findings import caution, findings, skipped
from resnexus.report.record import Comparison
from resnexus.report.same_cost import answers, same_cost_table
from resnexus.report.series_tables import series_accuracy_table, series_latency_table
from resnexus.report.table import Table, to_csv, to_markdown


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A figure, drawn for a desk's screen and for a phone's, as SVG."""

    figure: Figure
    wide: str
    narrow: str


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
    on_data = [_drawn(figure) for figure in data_figures(comparison)]
    on_series = [_drawn(figure) for figure in series_figures(comparison)]
    text = render(comparison, on_data, on_series)
    for table in _tables(comparison):
        write_text(to_markdown(table), out / "tables" / f"{table.name}.md")
        write_text(to_csv(table), out / "tables" / f"{table.name}.csv")
    for drawing in on_data + on_series:
        write_text(drawing.wide, out / "figures" / f"{drawing.figure.name}.svg")
        write_bytes(rasterise(drawing.wide), out / "figures" / f"{drawing.figure.name}.png")
    write_text(text, out / "index.html")
    return out / "index.html"


def render(comparison: Comparison, on_data: list[Drawing], on_series: list[Drawing]) -> str:
    """Return the page as HTML; the same records give the same bytes.

    Args:
        comparison: what was counted and measured.
        on_data: figures of the first part.
        on_series: figures of the second part.

    Raises:
        ResnexusError: jinja2 is missing, or the records contradict themselves.
    """
    folder = files("resnexus.report")
    template = _template((folder / "page.html").read_text(encoding="utf-8"))
    return str(
        template.render(
            comparison=comparison,
            css=(folder / "page.css").read_text(encoding="utf-8"),
            dark=DARK,
            summary=summary(comparison),
            facts=facts(comparison),
            findings=findings(comparison),
            caution=caution(comparison),
            skipped=skipped(comparison),
            accuracy=accuracy_table(comparison) if comparison.networks else None,
            latency=latency_tables(comparison),
            runs=run_table(comparison),
            data_figures=on_data,
            series_figures=on_series,
            answers=answers(comparison),
            same_cost=same_cost_table(comparison),
            series_accuracy=series_accuracy_table(comparison),
            series_latency=series_latency_table(comparison),
            quick_note=quick_note(comparison),
            repeats=repeats(comparison),
        )
    )


def _tables(comparison: Comparison) -> list[Table]:
    found = []
    if comparison.networks:
        found += [accuracy_table(comparison), run_table(comparison), *latency_files(comparison)]
    if comparison.series:
        found += [series_accuracy_table(comparison), series_latency_table(comparison)]
        against = same_cost_table(comparison)
        found += [against] if against else []
    return found


def _drawn(figure: Figure) -> Drawing:
    return Drawing(figure=figure, wide=draw(figure, wide(figure)), narrow=draw(figure, narrow(figure)))


def _template(source: str) -> Any:
    try:
        import jinja2
        import markupsafe
    except ImportError as error:
        raise ResnexusError("the report needs jinja2: pip install 'resnexus[report]'") from error
    strict = jinja2.StrictUndefined
    environment = jinja2.Environment(autoescape=True, undefined=strict, trim_blocks=True, lstrip_blocks=True)
    environment.filters["breakable"] = lambda name: markupsafe.escape(name).replace("_", markupsafe.Markup("_<wbr>"))
    environment.filters["figure"] = lambda svg, title: markupsafe.Markup(for_page(svg, title))
    return environment.from_string(source)
