from dataclasses import replace

import pytest

from resnexus.report.chart import COLOURS, DARK, TEXTS, label_rows, specification
from resnexus.report.drawing import narrow, wide
from resnexus.report.figures import data_figures, series_figures


def rows(spec, kind, **mark):
    layers = [
        layer for layer in spec["layer"] if layer["mark"]["type"] == kind and mark.items() <= layer["mark"].items()
    ]
    return [row for layer in layers for row in layer["data"]["values"]]


def test_every_point_is_drawn_and_every_label_has_room(comparison):
    for figure in data_figures(comparison) + series_figures(comparison):
        for layout in (wide(figure), narrow(figure)):
            spec = specification(figure, layout)
            assert [(row["x"], row["y"]) for row in rows(spec, "point")] == [
                (point.x, point.y) for point in sorted(figure.points, key=lambda point: point.hollow)
            ]
            texts = [row["text"] for row in rows(spec, "text")]
            assert sorted(texts) == sorted(point.label for point in figure.points)


def test_lines_join_networks_of_one_line_by_flops(comparison):
    spec = specification(series_figures(comparison)[0], wide(series_figures(comparison)[0]))
    joined = rows(spec, "line")
    assert not any(row["hollow"] for row in joined)
    assert {row["line"] for row in joined} == {network.line for network in comparison.series}
    assert all(row["order"] == row["x"] for row in joined)  # the horizontal axis of this figure is FLOPs


def test_bars_span_the_ranges(comparison):
    figure = data_figures(comparison)[2]
    bars = rows(specification(figure, wide(figure)), "rule", strokeWidth=1.5)
    assert len(bars) == 2 * len(figure.points)
    assert {(row["x_low"], row["x_high"]) for row in bars} == {point.x_range for point in figure.points}


def test_unknown_families_get_their_own_colour_and_shape(comparison):
    figure = data_figures(comparison)[0]
    points = (replace(figure.points[0], family="Mine"), replace(figure.points[1], family="Yours"), *figure.points[2:])
    spec = specification(replace(figure, points=points), wide(figure))
    colour = next(layer for layer in spec["layer"] if layer["mark"]["type"] == "point")["encoding"]["color"]["scale"]
    assert colour["domain"] == ["SENet", "Res2Net", "Mine", "Yours"]
    assert len(set(colour["range"])) == 4


def test_long_names_are_shortened(comparison):
    figure = data_figures(comparison)[0]
    named = replace(figure, points=(replace(figure.points[0], label="x" * 60), *figure.points[1:]))
    assert label_rows(named, wide(figure))[0]["text"] == "x" * 27 + "…"


def test_dark_pages_have_a_colour_for_every_family():
    assert {*COLOURS.values(), *TEXTS.values()} <= set(DARK)


def test_specification_is_vega_lite(comparison):
    altair = pytest.importorskip("altair", reason="checks the specification against Vega-Lite's schema")
    figure = series_figures(comparison)[0]
    altair.LayerChart.from_dict(specification(figure, wide(figure)))
