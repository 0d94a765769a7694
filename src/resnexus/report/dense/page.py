"""The page of a comparison in segmentation or detection: it opens offline, and its records lie beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from resnexus.files import write_bytes, write_text
from resnexus.records import write_json
from resnexus.report.chart import DARK
from resnexus.report.conditions import machine_facts, settings_facts, where_and_when
from resnexus.report.dense.findings import caution, figures, findings, score_table, summary
from resnexus.report.dense.pictures import COLOURS, described, picture
from resnexus.report.dense.record import TITLES, DenseComparison, Scene
from resnexus.report.document import GENERATOR, drawn
from resnexus.report.drawing import rasterise
from resnexus.report.table import to_csv, to_markdown
from resnexus.report.templates import shipped, template


def write_dense_report(comparison: DenseComparison, out: Path) -> Path:
    """Write the report into the folder `out`, and return its page.

    `index.html` needs no other file and no network. Beside it: `results.json`, `tables/` and `figures/`. Every file is
    whole or absent.

    Args:
        comparison: what was measured.
        out: created if it does not exist; files of the same names are replaced.

    Raises:
        ResnexusError: a file cannot be written, or a package for the page is missing.
    """
    table, charts = score_table(comparison), [drawn(figure) for figure in figures(comparison)]
    text = template("dense/page.html").render(
        comparison=comparison,
        metric=TITLES[comparison.metric],
        generator=GENERATOR,
        css=shipped("page.css"),
        dark=DARK,
        colours=_colours(comparison),
        scene="Photograph" if comparison.photographs else "Canvas",
        summary=[summary(comparison), *where_and_when(comparison.environment)],
        findings=findings(comparison),
        caution=caution(comparison),
        table=table,
        figures=charts,
        pictures=_pictures(comparison),
        facts=machine_facts(comparison.environment) | {"Settings": settings_facts(comparison.settings)},
    )
    write_json(comparison, out / "results.json")
    write_text(to_markdown(table), out / "tables" / f"{table.name}.md")
    write_text(to_csv(table), out / "tables" / f"{table.name}.csv")
    for drawing in charts:
        write_text(drawing.wide, out / "figures" / f"{drawing.figure.name}.svg")
        write_bytes(rasterise(drawing.wide), out / "figures" / f"{drawing.figure.name}.png")
    write_text(str(text), out / "index.html")
    return out / "index.html"


def _pictures(comparison: DenseComparison) -> list[list[dict[str, Any]]]:
    """Return for every example the truth and what each network found with its first seed: name, words and SVG."""
    names, what = comparison.names, "photograph" if comparison.photographs else "canvas"
    rows = []
    for number, example in enumerate(comparison.examples):
        scenes = {"Truth": example.truth}
        scenes |= {network.name: network.runs[0].found[number] for network in comparison.networks}
        row = []
        for name, scene in scenes.items():
            title = f"{name}, {what} {number + 1}: {described(scene, names)}"
            row.append({"name": name, "svg": picture(example, scene, title, names)})
        rows.append(row)
    return rows


def _colours(comparison: DenseComparison) -> dict[str, str]:
    """Return the colours of the classes whose pixels are shown: all ten of digits, of photographs those that occur."""
    if comparison.task != "segmentation":
        return {}
    shown = {letter for network in comparison.networks for scene in network.runs[0].found for letter in _letters(scene)}
    shown |= {letter for example in comparison.examples for letter in _letters(example.truth)}
    return {
        name: COLOURS[letter]
        for letter, name in comparison.names.items()
        if letter in shown or not comparison.photographs
    }


def _letters(scene: Scene) -> set[str]:
    return set("".join(scene.classes))
