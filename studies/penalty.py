"""The penalty chart: time per FLOP over that of a ResNet, as published and as we run it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from resnexus.architectures.catalog import architecture
from resnexus.benchmark.cell import Cell
from resnexus.benchmark.engines import OURS
from resnexus.report.chart import COLOURS, FONT, GRID, INK, QUIET
from resnexus.report.drawing import render
from resnexus.report.printing import number
from resnexus.report.speed import BASELINE, PLAIN, Place, at, penalties, title

_ROW_HEIGHT = 21
_WIDTH = 430


def penalty_chart(cells: Sequence[Cell], place: Place, processor: str) -> str | None:
    """Return as SVG the penalty of every network in plain PyTorch (hollow) and in our engine (filled).

    A diamond marks our engine's time per FLOP over that of the baseline in plain PyTorch.

    None where the baseline, plain PyTorch or our engine was not timed.

    Args:
        cells: of one record.
        place: device, precision and batch size.
        processor: what computed, for the title.

    Raises:
        ResnexusError: vl-convert is not installed.
    """
    rows = penalty_rows(cells, place)
    return render(_specification(rows, place, processor)) if rows else None


def penalty_rows(cells: Sequence[Cell], place: Place) -> list[dict[str, Any]]:
    """Return for every network its penalty before and after, and what is left of the former; the worst one first."""
    found = penalties(at(cells, place))
    against_plain = penalties(at(cells, place), against=PLAIN)
    models = dict.fromkeys(model for model, _ in found)
    rows = [
        {
            "name": model,
            "family": architecture(model).family,
            "before": found[model, PLAIN],
            "after": found[model, OURS],
            "left": against_plain[model, OURS],
            "text": f"{number(found[model, PLAIN], 2)} → {number(found[model, OURS], 2)}  "
            f"◆ {number(against_plain[model, OURS], 2)}",
        }
        for model in models
        if (model, PLAIN) in found and (model, OURS) in found and model != BASELINE
    ]
    return sorted(rows, key=lambda row: -row["before"])


def _specification(rows: list[dict[str, Any]], place: Place, processor: str) -> dict[str, Any]:
    families = [family for family in COLOURS if any(row["family"] == family for row in rows)]
    scale = {"domain": families, "range": [COLOURS[family] for family in families]}
    # A fill that follows the family as the outline does, for the points after.
    colour = {"field": "family", "type": "nominal", "title": None, "scale": scale, "legend": {"orient": "top"}}
    name = {"field": "name", "type": "nominal", "sort": None, "title": None, "axis": {"labelLimit": 200}}
    axis_title = f"Time per GFLOP over that of {BASELINE}"
    ends = [row[side] for row in rows for side in ("before", "after", "left")] + [1.0]
    domain = [min(ends) - 0.1, max(ends) + 0.1]
    along = {"type": "quantitative", "title": axis_title, "scale": {"domain": domain, "zero": False, "nice": False}}
    mark = {"type": "point", "size": 70, "opacity": 1, "strokeWidth": 1.8}
    layers = [
        {
            "data": {"values": [{"one": 1}]},
            "mark": {"type": "rule", "color": QUIET, "strokeDash": [4, 3]},
            "encoding": {"x": along | {"field": "one"}},
        },
        {
            "mark": {"type": "rule", "strokeWidth": 1.4},
            "encoding": {"x": along | {"field": "before"}, "x2": {"field": "after"}, "y": name, "color": colour},
        },
        {
            "mark": mark | {"filled": True, "fill": "white"},
            "encoding": {"x": along | {"field": "before"}, "y": name, "stroke": colour | {"legend": None}},
        },
        {
            "mark": mark | {"filled": True},
            "encoding": {"x": along | {"field": "after"}, "y": name, "color": colour},
        },
        {
            "mark": mark | {"filled": True, "shape": "diamond"},
            "encoding": {"x": along | {"field": "left"}, "y": name, "color": colour},
        },
        {
            "mark": {"type": "text", "align": "left", "fontSize": 11, "color": QUIET},
            "encoding": {"x": {"value": _WIDTH + 12}, "y": name, "text": {"field": "text"}},
        },
    ]
    return {
        "data": {"values": rows},
        "title": {
            "text": f"The series' penalty, {title(place)}",
            "subtitle": [
                processor,
                f"hollow: plain PyTorch; filled: resnexus; each over {BASELINE} in the same engine, which is 1",
                f"diamond: resnexus over {BASELINE} in plain PyTorch",
            ],
        },
        "width": _WIDTH,
        "height": _ROW_HEIGHT * len(rows),
        "layer": layers,
        "config": {
            "font": FONT,
            "background": "white",
            "padding": {"left": 4, "right": 20, "top": 4, "bottom": 4},
            "view": {"stroke": None},
            "axis": {"labelFontSize": 11, "titleFontSize": 12, "titleFontWeight": "normal", "labelColor": INK}
            | {"titleColor": INK, "gridColor": GRID, "domainColor": QUIET, "tickColor": QUIET},
            "title": {"fontSize": 15, "subtitleFontSize": 12, "color": INK, "subtitleColor": QUIET, "anchor": "start"},
            "legend": {"labelFontSize": 12, "labelColor": INK},
        },
    }
