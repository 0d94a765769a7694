"""Example images with boxes or masks drawn in, as SVG that belongs in a page: truth beside prediction."""

from __future__ import annotations

import base64
import colorsys
import html
import io
from collections.abc import Mapping

import numpy as np
from PIL import Image

from resnexus.report.dense.record import LETTERS, UNCLEAR, Box, Example, Scene

# Tol's light and muted colours, ten that colour-blind readers can tell apart; the labels say the same again.
_TEN = (
    *("#88ccee", "#ee8866", "#eedd88", "#ffaabb", "#44bb99"),
    *("#bbcc33", "#4477aa", "#cc6677", "#dddddd", "#aa4499"),
)
_GOLDEN = 0.618  # of the circle of hues: what follows each other is far apart
_OPACITY = 0.75
_SIDE = 64  # of a canvas, on which lines and letters are as thick and as large as is written below
_LETTER = 3.0  # width of a letter of a label there, roughly
_LONGEST = 16  # letters of a label; the text for who cannot see the picture has all
_HALO = 'stroke="#000000" stroke-width="0.16em" stroke-linejoin="round" style="paint-order:stroke"'  # on any ground


def _colour(number: int) -> str:
    if number < len(_TEN):
        return _TEN[number]
    red, green, blue = colorsys.hls_to_rgb(number * _GOLDEN % 1, 0.7, 0.6)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"


COLOURS = {letter: _colour(number) for number, letter in enumerate(LETTERS)}
"""By letter."""

DIGITS = {letter: letter for letter in LETTERS[:10]}
"""The classes of canvases: digits are their own letters."""


def picture(example: Example, scene: Scene, title: str, names: Mapping[str, str] = DIGITS) -> str:
    """Return an example with the classes of its pixels in colour, or with boxes and their labels.

    Args:
        example: gives the grey levels or colours.
        scene: what is drawn in: the truth, or what was found.
        title: what the picture shows, for who cannot see it.
        names: the name of the class of every letter.
    """
    pixels = np.array([list(bytes.fromhex(row)) for row in example.pixels], dtype=np.uint8)
    pixels = pixels.reshape(len(pixels), -1, 3) if example.colour else np.repeat(pixels[..., None], 3, axis=2)
    height, width = pixels.shape[:2]
    if scene.classes:
        pixels = _coloured(pixels, scene.classes)
    letters = {name: letter for letter, name in names.items()}
    boxes = "".join(_box(box, width, COLOURS.get(letters.get(box.label, ""), "#ffffff")) for box in scene.boxes)
    return (
        f'<svg class="picture" role="img" viewBox="0 0 {width} {height}" aria-label="{html.escape(title)}">'
        f'<image width="{width}" height="{height}" href="{_data(pixels)}" style="image-rendering:pixelated"/>'
        f"{boxes}</svg>"
    )


def described(scene: Scene, names: Mapping[str, str] = DIGITS) -> str:
    """Return what a scene holds, in words."""
    letters = set("".join(scene.classes)) - {".", UNCLEAR}
    return ", ".join(sorted([*(names[letter] for letter in letters), *(box.label for box in scene.boxes)])) or "nothing"


def _coloured(pixels: np.ndarray, classes: tuple[str, ...]) -> np.ndarray:
    found = pixels.astype(float)
    letters = np.array([list(row) for row in classes])
    for letter in set("".join(classes)) & COLOURS.keys():
        own = letters == letter
        colour = np.array(list(bytes.fromhex(COLOURS[letter][1:])))
        found[own] = (1 - _OPACITY) * found[own] + _OPACITY * colour
    return np.rint(found).astype(np.uint8)


def _box(box: Box, width: int, colour: str) -> str:
    scale = max(1.0, width / _SIDE)
    label = box.label if len(box.label) <= _LONGEST else f"{box.label[: _LONGEST - 1]}…"
    # The label stands right of the box; where the image ends too soon, it ends where the box does, or where it can.
    length, gap = _LETTER * len(label) * scale, 0.8 * scale
    x, anchor = box.right + gap, "start"
    if x + length > width:
        x, anchor = max(box.right - gap, min(length + gap, width - gap)), "end"
    return (
        f'<rect x="{box.left}" y="{box.top}" width="{box.right - box.left:.2f}" height="{box.bottom - box.top:.2f}" '
        f'fill="none" stroke="{colour}" stroke-width="{0.7 * scale:g}"/>'
        f'<text x="{x:.2f}" y="{box.top + 4 * scale:.2f}" text-anchor="{anchor}" font-size="{5 * scale:g}" '
        f'font-weight="700" fill="{colour}" {_HALO}>{html.escape(label)}</text>'
    )


def _data(pixels: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
