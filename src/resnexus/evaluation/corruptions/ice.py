"""Ice on a window pane, drawn: what frost lays over a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from resnexus.evaluation.corruptions.plasma import cloud
from resnexus.evaluation.corruptions.smoothing import smoothed

Array = np.ndarray[Any, np.dtype[Any]]

COLOUR = (0.84, 0.93, 1.0)
"""Of ice, red, green and blue."""

_FILM, _DECAY = 0.6, 1.6  # how bright the film between the crystals is, and how smooth
_CRYSTALS = 8
_STEM = (0.4, 0.9)  # length, in short sides of the picture
_TURN = np.pi / 3  # ice is six-sided
_BRANCHES = (12, 5)  # on either side of a stem, and of a branch
_SHRINK = 0.45  # of a branch's length against what is left of what it grows from
_GREYS = (255, 215, 175)  # of stems, branches, and their branches
_BLUR = 0.6  # pixels


def ice(height: int, width: int, random: np.random.Generator) -> Array:
    """Return (height, width, 3) in 0..1: crystals of ice on a film of it.

    The film is a plasma fractal. Over it lie eight crystals, each with a straight stem of 0.4 to 0.9 short sides from a
    random place in a random direction. Twelve times on its way, and on either side, a branch leaves it at 60 degrees,
    0.45 times as long as what is left of the stem, which has five such branches on either side in turn. Stems are the
    brightest. The lines, a pixel wide, are blurred by 0.6 pixels, and where they are darker than the film it is seen.
    The lengths follow the picture, so that pictures of all sizes are frosted alike.
    """
    canvas = Image.new("L", (width, height))
    pen = ImageDraw.Draw(canvas)
    for lines, grey in reversed(list(zip(_crystals(height, width, random), _GREYS, strict=True))):
        for ends in np.hstack([lines.starts, lines.ends]).tolist():  # the brighter ones over the others
            pen.line(ends, fill=grey)
    crystals = smoothed(np.asarray(canvas, dtype=np.float64) / 255, _BLUR)
    shades: Array = np.maximum(_FILM * cloud(height, width, _DECAY, random), crystals)
    return shades[..., None] * np.array(COLOUR)


@dataclass(frozen=True, kw_only=True)
class _Lines:
    """Lines: where they begin, (n, 2) x and y; (n,) their directions in radians; (n,) their lengths."""

    starts: Array
    angles: Array
    lengths: Array

    def at(self, share: float) -> Array:
        """Return (n, 2), the places at a share of their lengths."""
        found: Array = self.starts + share * (self.lengths * np.stack([np.cos(self.angles), np.sin(self.angles)])).T
        return found

    @property
    def ends(self) -> Array:
        """Where they end, (n, 2)."""
        return self.at(1)


def _crystals(height: int, width: int, random: np.random.Generator) -> tuple[_Lines, ...]:
    """Return all stems, all branches, and all their branches."""
    stems = _Lines(
        starts=random.uniform(0, (width, height), (_CRYSTALS, 2)),
        angles=random.uniform(0, 2 * np.pi, _CRYSTALS),
        lengths=min(height, width) * random.uniform(*_STEM, _CRYSTALS),
    )
    grown = [stems]
    for nodes in _BRANCHES:
        grown.append(_branches(grown[-1], nodes))
    return tuple(grown)


def _branches(lines: _Lines, nodes: int) -> _Lines:
    shares = [node / (nodes + 1) for node in range(1, nodes + 1)]
    places = [(share, turn) for share in shares for turn in (-_TURN, _TURN)]
    return _Lines(
        starts=np.concatenate([lines.at(share) for share, _ in places]),
        angles=np.concatenate([lines.angles + turn for _, turn in places]),
        lengths=np.concatenate([_SHRINK * (1 - share) * lines.lengths for share, _ in places]),
    )
