import re
from dataclasses import replace
from itertools import combinations
from xml.etree import ElementTree

import pytest
from PIL import ImageFont

from resnexus.report.drawing import draw, for_page, narrow, rasterise, wide
from resnexus.report.figures import data_figures, series_figures

SVG = "{http://www.w3.org/2000/svg}"
PARTS = {"data": data_figures, "series": series_figures}


def text_boxes(element, x=0.0, y=0.0):
    """Return (text, left, top, right, bottom) of every text, measured in an independent font."""
    moved = re.match(r"translate\(([-\d.]+),\s*([-\d.]+)\)", element.get("transform", ""))
    if moved:
        x, y = x + float(moved[1]), y + float(moved[2])
    if element.tag == f"{SVG}text" and element.get("opacity") != "0" and element.text:
        size = float(element.get("font-size").removesuffix("px"))
        width = ImageFont.load_default(size).getlength(element.text)
        left = x - width * {"start": 0, "middle": 0.5, "end": 1}[element.get("text-anchor", "start")]
        return [(element.text, left, y - 0.75 * size, left + width, y + 0.2 * size)]
    return [box for child in element for box in text_boxes(child, x, y)]


def overlaps(svg):
    boxes = text_boxes(ElementTree.fromstring(svg))
    assert len(boxes) > 8
    return [
        (one[0], other[0])
        for one, other in combinations(boxes, 2)
        if one[1] < other[3] and one[3] > other[1] and one[2] < other[4] and one[4] > other[2]
    ]


def test_no_text_overlaps_in_the_files(report):
    drawn = sorted((report / "figures").glob("*.svg"))
    assert len(drawn) == 9
    assert {path.name: overlaps(path.read_text()) for path in drawn} == {path.name: [] for path in drawn}


@pytest.mark.parametrize("part", PARTS)
def test_no_text_overlaps_on_a_phone(comparison, part):
    for figure in PARTS[part](comparison)[:3]:
        svg = draw(figure, narrow(figure))
        assert overlaps(svg) == []
        assert float(ElementTree.fromstring(svg).get("width")) <= 358  # 390 less the margins


def test_a_figure_is_as_large_as_its_labels_ask_for(comparison):
    figure = data_figures(comparison)[0]
    point = figure.points[0]
    curve = replace(figure, points=figure.points + 50 * (replace(point, label=""),))
    assert (wide(curve), narrow(curve)) == (wide(figure), narrow(figure))
    full = replace(figure, points=figure.points + 50 * (point,))
    assert wide(full).width > wide(figure).width
    assert narrow(full).height > narrow(figure).height


def test_the_overlap_check_sees_an_overlap():
    svg = '<svg xmlns="http://www.w3.org/2000/svg"><g transform="translate(10,10)">{}</g></svg>'
    text = '<text transform="translate({},0)" font-size="10px">label {}</text>'
    near = svg.format("".join(text.format(12 * index, index) for index in range(9)))
    far = svg.format("".join(text.format(90 * index, index) for index in range(9)))
    assert ("label 0", "label 1") in overlaps(near)
    assert overlaps(far) == []


def test_the_same_figure_gives_the_same_picture(comparison):
    figure = data_figures(comparison)[0]
    first, again = (draw(figure, narrow(figure)) for _ in range(2))
    assert first == again
    assert rasterise(first) == rasterise(again)


def test_for_page_sizes_by_the_page_and_names_every_point(comparison):
    figure = data_figures(comparison)[0]
    text = for_page(draw(figure, narrow(figure)), 'A "title" & more')
    root = ElementTree.fromstring(text)
    assert "http" not in text
    assert root.get("viewBox")
    assert root.get("width") is None
    assert root.get("aria-label") == 'A "title" & more'
    titles = [mark.find("title").text for mark in root.iter("path") if mark.get("class") == "point"]
    assert titles == [point.description for point in figure.points]


def test_pictures_are_png_of_twice_the_size(report):
    for path in (report / "figures").glob("*.png"):
        content = path.read_bytes()
        assert content[:8] == b"\x89PNG\r\n\x1a\n"
        width = int.from_bytes(content[16:20], "big")
        svg = ElementTree.parse(path.with_suffix(".svg")).getroot()
        assert width == pytest.approx(2 * float(svg.get("width")), abs=2)
