"""Example images with boxes or masks drawn in, as SVG that belongs in a page: truth beside prediction."""

from __future__ import annotations

import base64
import html
import io

import numpy as np
from PIL import Image

from resnexus.report.dense.record import Box, Example, Scene

# Tol's light and muted colours, ten that colour-blind readers can tell apart; the labels say the same again.
COLOURS = {
    "0": "#88ccee",
    "1": "#ee8866",
    "2": "#eedd88",
    "3": "#ffaabb",
    "4": "#44bb99",
    "5": "#bbcc33",
    "6": "#4477aa",
    "7": "#cc6677",
    "8": "#dddddd",
    "9": "#aa4499",
}
_OPACITY = 0.75


def picture(example: Example, scene: Scene, title: str) -> str:
    """Return an example with the classes of its pixels in colour, or with boxes and their labels.

    Args:
        example: gives the grey levels.
        scene: what is drawn in: the truth, or what was found.
        title: what the picture shows, for who cannot see it.
    """
    grey = np.array([list(bytes.fromhex(row)) for row in example.pixels], dtype=np.uint8)
    height, width = grey.shape
    pixels = _coloured(grey, scene.classes) if scene.classes else np.repeat(grey[..., None], 3, axis=2)
    boxes = "".join(_box(box, width) for box in scene.boxes)
    return (
        f'<svg class="picture" role="img" viewBox="0 0 {width} {height}" aria-label="{html.escape(title)}">'
        f'<image width="{width}" height="{height}" href="{_data(pixels)}" style="image-rendering:pixelated"/>'
        f"{boxes}</svg>"
    )


def described(scene: Scene) -> str:
    """Return what a scene holds, in words."""
    names = sorted([*(set("".join(scene.classes)) - {"."}), *(box.label for box in scene.boxes)])
    return ", ".join(names) or "nothing"


def _coloured(grey: np.ndarray, classes: tuple[str, ...]) -> np.ndarray:
    pixels = np.repeat(grey[..., None], 3, axis=2).astype(float)
    letters = np.array([list(row) for row in classes])
    for name, colour in COLOURS.items():
        own = letters == name
        pixels[own] = (1 - _OPACITY) * pixels[own] + _OPACITY * np.array(list(bytes.fromhex(colour[1:])))
    return np.rint(pixels).astype(np.uint8)


def _box(box: Box, width: int) -> str:
    colour = COLOURS.get(box.label, "#ffffff")
    # The label stands right of the box, or left of it where the image ends.
    outside = box.right + 4 > width
    x, anchor = (box.left - 0.8, "end") if outside else (box.right + 0.8, "start")
    return (
        f'<rect x="{box.left}" y="{box.top}" width="{box.right - box.left:.2f}" height="{box.bottom - box.top:.2f}" '
        f'fill="none" stroke="{colour}" stroke-width="0.7"/>'
        f'<text x="{x:.2f}" y="{box.top + 4:.2f}" text-anchor="{anchor}" font-size="5" font-weight="700" '
        f'fill="{colour}">{html.escape(box.label)}</text>'
    )


def _data(pixels: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
