"""Render figures offline: files of SVG and PNG, and SVG that belongs in a page."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

from resnexus.packages import required
from resnexus.report.chart import specification
from resnexus.report.figures import Figure
from resnexus.report.scales import Frame

_MANY = 12  # labels that need the larger sizes
_WIDE = Frame(width=480, height=330, font_size=11, point_area=60, titled=True)
_WIDE_MANY = Frame(width=940, height=560, font_size=12, point_area=70, titled=True)
_NARROW = Frame(width=296, height=340, font_size=10, point_area=45)
_NARROW_MANY = Frame(width=296, height=560, font_size=10, point_area=45)

_NOT_IN_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_SVG = "http://www.w3.org/2000/svg"
_SAME_NAMES = {"": _SVG, "xlink": "http://www.w3.org/1999/xlink"}


def wide(figure: Figure) -> Frame:
    """Return the size for a desk's screen and for files."""
    return _WIDE_MANY if _labels(figure) > _MANY else _WIDE


def narrow(figure: Figure) -> Frame:
    """Return the size for a phone."""
    return _NARROW_MANY if _labels(figure) > _MANY else _NARROW


def _labels(figure: Figure) -> int:
    return sum(bool(point.label) for point in figure.points)


def draw(figure: Figure, layout: Frame) -> str:
    """Return a figure as SVG.

    Raises:
        MissingPackageError: vl-convert is not installed.
    """
    return render(specification(figure, layout))


def render(chart: dict[str, Any]) -> str:
    """Return a Vega-Lite specification as SVG.

    Raises:
        MissingPackageError: vl-convert is not installed.
    """
    convert = _convert()
    return str(convert.vega_to_svg(convert.vegalite_to_vega(_printable(chart))))


def rasterise(svg: str, scale: float = 2) -> bytes:
    """Return an SVG as PNG, with `scale` pixels for each of its own."""
    return bytes(_convert().svg_to_png(svg, scale=scale))


def for_page(svg: str, title: str) -> str:
    """Return an SVG as an element of a page: no background, sized by the page, a title on every point."""
    root = ElementTree.fromstring(svg)
    root.set("role", "img")
    root.set("aria-label", title)
    root.set("style", f"max-width:{root.get('width')}px")
    for attribute in ("width", "height", "class", "version"):
        root.attrib.pop(attribute, None)
    background = root.find(f"{{{_SVG}}}rect")
    if background is not None:
        root.remove(background)
    for mark in root.iter(f"{{{_SVG}}}path"):
        if mark.get("aria-roledescription") == "point":
            tooltip = ElementTree.SubElement(mark, f"{{{_SVG}}}title")
            tooltip.text = mark.get("aria-label")
            mark.set("class", "point")
    for prefix, space in _SAME_NAMES.items():
        ElementTree.register_namespace(prefix, space)
    # An HTML parser knows the namespace of svg; without it the page names no address at all.
    return ElementTree.tostring(root, encoding="unicode").replace(f' xmlns="{_SVG}"', "", 1)


def _printable(value: Any) -> Any:
    """Replace characters that XML cannot hold, and on which the renderer ends the process."""
    if isinstance(value, str):
        return _NOT_IN_XML.sub("\ufffd", value)
    if isinstance(value, dict):
        return {name: _printable(inner) for name, inner in value.items()}
    return [_printable(inner) for inner in value] if isinstance(value, list) else value


def _convert() -> Any:
    return required("vl_convert")
