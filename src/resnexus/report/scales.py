"""From values to pixels: the same arithmetic as Vega's, so that labels can be placed before drawing."""

from __future__ import annotations

import math
from dataclasses import dataclass

from resnexus.report.figures import Figure

_ENOUGH_TICKS = 4


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The size of a drawing.

    Attributes:
        width: of the plot, pixels.
        height: of the plot, pixels.
        font_size: of labels and axes, pixels.
        point_area: of a point, square pixels.
        titled: whether the title is drawn; on the page it stands outside.
    """

    width: int
    height: int
    font_size: int
    point_area: int
    titled: bool = False


@dataclass(frozen=True, kw_only=True)
class Scale:
    """One axis.

    Attributes:
        low: value at its start.
        high: value at its end.
        pixels: its length.
        logarithmic: or else linear.
    """

    low: float
    high: float
    pixels: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """Return the pixels from the start of the axis to a value."""
        low, high, at = (math.log(v) if self.logarithmic else v for v in (self.low, self.high, value))
        return self.pixels * (at - low) / (high - low)

    def ticks(self) -> list[float] | None:
        """Return round values within a logarithmic axis; None for a linear one, where Vega chooses."""
        if not self.logarithmic:
            return None
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for steps in ((1, 2, 5), (1, 2, 3, 5, 7), (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)):
            values = [round(step * 10.0**decade, 9) for decade in decades for step in steps]
            found = [value for value in values if self.low <= value <= self.high]
            if len(found) >= _ENOUGH_TICKS:
                return found
        return found if len(found) > 1 else None


def scales(figure: Figure, layout: Frame) -> tuple[Scale, Scale]:
    """Return the horizontal and the vertical scale: the points and their bars, and a margin for the labels."""
    low, high = _ends([v for point in figure.points for v in (point.x, *(point.x_range or ()))])
    if figure.logarithmic:
        factor = (high / low) ** 0.08 if high > low else 1.5
        x_scale = Scale(low=low / factor, high=high * factor, pixels=layout.width, logarithmic=True)
    else:
        margin = 0.15 * (high - low) or 0.1 * abs(high) or 1.0
        x_scale = Scale(low=low - margin, high=high + margin, pixels=layout.width)
    low, high = _ends([v for point in figure.points for v in (point.y, *(point.y_range or ()))])
    margin = 0.08 * (high - low) or 1.0
    return x_scale, Scale(low=low - margin, high=high + margin, pixels=layout.height)


def _ends(values: list[float]) -> tuple[float, float]:
    return min(values), max(values)
