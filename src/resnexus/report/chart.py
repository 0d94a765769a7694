"""A figure as a Vega-Lite specification: one definition for SVG, PNG and the page, wide or for a phone.

The specification is a plain dictionary: to build it through Altair's objects takes longer than to draw it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import cycle, pairwise
from typing import Any

from resnexus.report.figures import Figure, Point
from resnexus.report.placement import Label, place
from resnexus.report.scales import Frame, Scale, scales

FONT = "Arial, Helvetica, Liberation Sans, sans-serif"
INK, QUIET, GRID = "#222222", "#6b6b6b", "#dddddd"
# Okabe and Ito's colours, which colour-blind readers can tell apart; the shapes say the same again. Text is darker.
COLOURS = {"ResNet": INK, "ResNeXt": "#0072b2", "SENet": "#d55e00", "Res2Net": "#009e73"}
TEXTS = {"ResNet": INK, "ResNeXt": "#005a8e", "SENet": "#a34700", "Res2Net": "#00694d"}
SHAPES = {"ResNet": "circle", "ResNeXt": "square", "SENet": "triangle-up", "Res2Net": "diamond"}
_OTHERS = (("#cc79a7", "cross"), ("#56b4e9", "triangle-down"), ("#e69f00", "triangle-left"))
# What a page with a dark background shows instead.
DARK = {
    INK: "#ececec",
    QUIET: "#a8a8a8",
    GRID: "#3b3f45",
    "#0072b2": "#56b4e9",
    "#d55e00": "#f08a3c",
    "#009e73": "#2fc79a",
    "#005a8e": "#8cccf2",
    "#a34700": "#f5ab73",
    "#00694d": "#6fdcbb",
}
_LONGEST_LABEL = 28

Spec = dict[str, Any]


def specification(figure: Figure, layout: Frame) -> Spec:
    """Return the figure as a Vega-Lite specification, data included."""
    x_scale, y_scale = scales(figure, layout)
    position = {"x": _x(figure.x_title, x_scale), "y": _y(figure.y_title, y_scale)}
    families = _families(figure)
    points = [_row(point) for point in figure.points]
    labels = label_rows(figure, layout)
    layers = [
        _layer(
            (row for row in points if row["line"]),
            {"type": "line", "strokeWidth": 1.3, "aria": False},
            position | {"color": families["color"], "detail": {"field": "line"}, "order": {"field": "order"}},
        ),
        *(_bars(points, along, position, families) for along in ("x", "y")),
        _leads(labels),
        *(_marks(points, hollow, layout, position, families) for hollow in (False, True)),
        *(_texts(labels, align, layout) for align in ("left", "center", "right")),
    ]
    title = {"title": {"text": figure.title}} if layout.titled else {}
    size = {"width": layout.width, "height": layout.height}
    return size | title | {"config": _config(layout), "layer": [layer for layer in layers if layer]}


def label_rows(figure: Figure, layout: Frame) -> list[dict[str, Any]]:
    """Return the placed labels: text, position and lead in pixels; those without room are left out."""
    x_scale, y_scale = scales(figure, layout)
    centres = [(x_scale(point.x), layout.height - y_scale(point.y)) for point in figure.points]
    texts = [_shortened(point.label) for point in figure.points]
    placed = place(
        centres,
        texts,
        _segments(figure, layout),
        size=(layout.width, layout.height),
        font_size=layout.font_size,
        radius=math.sqrt(layout.point_area) / 2 + 1,
    )
    found = zip(figure.points, texts, centres, placed, strict=True)
    return [_label_row(point, text, centre, label) for point, text, centre, label in found if label]


def _layer(rows: Iterable[dict[str, Any]], mark: Spec, encoding: Spec) -> Spec | None:
    values = list(rows)
    return {"data": {"values": values}, "mark": mark, "encoding": encoding} if values else None


def _bars(points: list[dict[str, Any]], along: str, position: Spec, families: Spec) -> Spec | None:
    rows = [row | {along: row[f"{along}_low"]} for row in points if row[f"{along}_low"] is not None]
    encoding = position | {f"{along}2": {"field": f"{along}_high"}, "color": families["color"]}
    return _layer(rows, {"type": "rule", "strokeWidth": 1.5, "aria": False}, encoding)


def _marks(points: list[dict[str, Any]], hollow: bool, layout: Frame, position: Spec, families: Spec) -> Spec | None:
    area = layout.point_area * (1.4 if hollow else 1)
    mark = {"type": "point", "filled": not hollow, "size": area, "opacity": 1, "strokeWidth": 1.8}
    encoding = position | families | {"description": {"field": "description"}}
    return _layer((row for row in points if row["hollow"] == hollow), mark, encoding)


def _leads(labels: list[dict[str, Any]]) -> Spec | None:
    return _layer(
        (row for row in labels if row["lead_x"] is not None),
        {"type": "rule", "color": QUIET, "strokeWidth": 0.7, "aria": False},
        {
            "x": {"field": "from_x", "type": "quantitative", "scale": None},
            "y": {"field": "from_y", "type": "quantitative", "scale": None},
            "x2": {"field": "lead_x"},
            "y2": {"field": "lead_y"},
        },
    )


def _texts(labels: list[dict[str, Any]], align: str, layout: Frame) -> Spec | None:
    return _layer(
        (row for row in labels if row["align"] == align),
        {"type": "text", "align": align, "baseline": "middle", "fontSize": layout.font_size, "aria": False},
        {
            "x": {"field": "x", "type": "quantitative", "scale": None},
            "y": {"field": "y", "type": "quantitative", "scale": None},
            "text": {"field": "text"},
            "color": {"field": "colour", "type": "nominal", "scale": None},
        },
    )


def _x(title: str, scale: Scale) -> Spec:
    ticks = scale.ticks()
    axis = {"labelOverlap": True, "tickCount": 5} | ({"values": ticks, "labelOverlap": False} if ticks else {})
    return {"field": "x", "type": "quantitative", "title": title, "scale": _domain(scale), "axis": axis}


def _y(title: str, scale: Scale) -> Spec:
    axis = {"tickCount": 6, "titleAngle": 0, "titleAlign": "left", "titleAnchor": "end", "titleX": -38, "titleY": -10}
    return {"field": "y", "type": "quantitative", "title": title, "scale": _domain(scale), "axis": axis}


def _domain(scale: Scale) -> Spec:
    kind = "log" if scale.logarithmic else "linear"
    return {"type": kind, "domain": [scale.low, scale.high], "nice": False, "zero": False}


def _families(figure: Figure) -> Spec:
    present = {point.family for point in figure.points}
    others = sorted(present - set(COLOURS))
    spare = dict(zip(others, cycle(_OTHERS), strict=False)) if others else {}
    families = [family for family in COLOURS if family in present] + others
    colours = [COLOURS[family] if family in COLOURS else spare[family][0] for family in families]
    shapes = [SHAPES[family] if family in SHAPES else spare[family][1] for family in families]
    field = {"field": "family", "type": "nominal", "title": None}
    legend = {"orient": "top", "direction": "horizontal", "offset": 26}
    return {
        "color": field | {"scale": {"domain": families, "range": colours}, "legend": legend},
        "shape": field | {"scale": {"domain": families, "range": shapes}, "legend": legend},
    }


def _row(point: Point) -> dict[str, Any]:
    x_low, x_high = point.x_range or (None, None)
    y_low, y_high = point.y_range or (None, None)
    ranges = {"x_low": x_low, "x_high": x_high, "y_low": y_low, "y_high": y_high}
    shown = {name: getattr(point, name) for name in ("x", "y", "family", "line", "order", "hollow", "description")}
    return shown | ranges


def _label_row(point: Point, text: str, centre: tuple[float, float], label: Label) -> dict[str, Any]:
    lead_x, lead_y = label.lead or (None, None)
    position = {"x": label.x, "y": label.y, "align": label.align, "from_x": centre[0], "from_y": centre[1]}
    return {"text": text, "colour": TEXTS.get(point.family, INK)} | position | {"lead_x": lead_x, "lead_y": lead_y}


def _segments(figure: Figure, layout: Frame) -> list[tuple[float, float, float, float]]:
    x_scale, y_scale = scales(figure, layout)
    lines: dict[str, list[tuple[float, float, float]]] = {}
    found = []
    for point in figure.points:
        x, y = x_scale(point.x), layout.height - y_scale(point.y)
        if point.line:
            lines.setdefault(point.line, []).append((point.order, x, y))
        if point.x_range:
            found.append((x_scale(point.x_range[0]), y, x_scale(point.x_range[1]), y))
        if point.y_range:
            low, high = (layout.height - y_scale(end) for end in point.y_range)
            found.append((x, low, x, high))
    for members in lines.values():
        found += [(*left[1:], *right[1:]) for left, right in pairwise(sorted(members))]
    return found


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_LABEL else text[: _LONGEST_LABEL - 1] + "…"


def _config(layout: Frame) -> Spec:
    size = layout.font_size
    return {
        "font": FONT,
        "background": "white",
        "padding": {"left": 4, "right": 12, "top": 4, "bottom": 4},
        "view": {"stroke": None},
        "axis": {
            "labelFontSize": size,
            "titleFontSize": size + 1,
            "titleFontWeight": "normal",
            "labelColor": INK,
            "titleColor": INK,
            "gridColor": GRID,
            "domainColor": QUIET,
            "tickColor": QUIET,
        },
        "axisY": {"minExtent": 34, "maxExtent": 34},
        "legend": {"labelFontSize": size + 1, "labelColor": INK, "symbolSize": 70, "columnPadding": 14},
        "title": {"fontSize": size + 4, "color": INK, "anchor": "start", "offset": 10},
    }
