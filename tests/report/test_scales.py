from dataclasses import replace

import pytest

from resnexus.report.figures import data_figures, series_figures
from resnexus.report.scales import Frame, Scale, scales

LAYOUT = Frame(width=400, height=300, font_size=10, point_area=50)


def test_linear_and_logarithmic_pixels():
    assert Scale(low=10, high=20, pixels=100)(12.5) == pytest.approx(25)
    assert Scale(low=1, high=100, pixels=100, logarithmic=True)(10) == pytest.approx(50)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (3.4, 60, [5, 10, 20, 50]),
        (9, 21, [10, 15, 20]),
        (70, 150, [70, 80, 90, 100, 150]),
        (0.6, 8, [1, 2, 5]),
    ],
)
def test_ticks_are_round_and_inside(low, high, ticks):
    found = Scale(low=low, high=high, pixels=1, logarithmic=True).ticks()
    assert all(low <= value <= high for value in found)
    assert set(ticks) <= set(found)
    assert Scale(low=low, high=high, pixels=1).ticks() is None


def test_points_and_bars_are_inside(comparison):
    for figure in data_figures(comparison) + series_figures(comparison):
        x_scale, y_scale = scales(figure, LAYOUT)
        for point in figure.points:
            assert all(0 < x_scale(value) < 400 for value in (point.x, *(point.x_range or ())))
            assert all(0 < y_scale(value) < 300 for value in (point.y, *(point.y_range or ())))


@pytest.mark.parametrize("index", [0, -1])
def test_a_single_point_has_a_scale(comparison, index):
    figure = (data_figures(comparison) + series_figures(comparison))[index]
    alone = replace(figure, points=(replace(figure.points[0], x_range=None, y_range=None),))
    x_scale, y_scale = scales(alone, LAYOUT)
    assert x_scale(alone.points[0].x) == pytest.approx(200)
    assert y_scale(alone.points[0].y) == pytest.approx(150)
