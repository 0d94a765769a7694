"""How numbers are printed: units by magnitude, decimals by column, a true minus sign."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

MISSING = "–"
_MINUS = "−"


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A unit of print: a record's value times `factor`."""

    name: str
    factor: float


def number(value: float | None, decimals: int) -> str:
    """Print with a fixed number of decimals and thousands separated; a dash for None."""
    if value is None:
        return MISSING
    return f"{value:,.{decimals}f}".replace("-", _MINUS)


def signed(value: float, decimals: int) -> str:
    """Print with its sign; zero after rounding has none."""
    text = f"{value:+,.{decimals}f}"
    return text.lstrip("+-") if not any(digit in text for digit in "123456789") else text.replace("-", _MINUS)


def percent(fraction: float | None, decimals: int = 2) -> str:
    """Print a fraction in per cent, without the sign."""
    return number(None if fraction is None else 100 * fraction, decimals)


def has_top5(classes: int) -> bool:
    """Whether top-5 says anything of so many classes: of five or fewer it is always 100 %."""
    return classes > 5


def decimals_for(values: Iterable[float | None], digits: int = 3) -> int:
    """Return the decimals that show `digits` significant digits of the smallest value of a column, at most 4."""
    sizes = [abs(value) for value in values if value]
    if not sizes:
        return 0
    return min(4, max(0, digits - 1 - math.floor(math.log10(min(sizes)))))


def flops_unit(gflops: Iterable[float]) -> Unit:
    """GFLOPs, or MFLOPs if every network is below one GFLOP."""
    return Unit(name="GFLOPs", factor=1) if max(gflops, default=1) >= 1 else Unit(name="MFLOPs", factor=1e3)


def parameters_unit(mparams: Iterable[float]) -> Unit:
    """Millions, or thousands if every network has less than a million."""
    return Unit(name="M", factor=1) if max(mparams, default=1) >= 1 else Unit(name="k", factor=1e3)


def listed(names: Iterable[str]) -> str:
    """Join names as a sentence does: `a, b and c`."""
    found = list(names)
    return " and ".join(([", ".join(found[:-1])] if len(found) > 1 else []) + found[-1:])


def file_name(*words: str) -> str:
    """Return words as part of a file's name, in small letters and digits, e.g. `"cpu_eager_fp32"`."""
    return re.sub(r"[^a-z0-9]+", "_", " ".join(words).lower()).strip("_")


def counted(count: int, singular: str, plural: str = "") -> str:
    """`1 seed`, `3 seeds`; a plural that ends otherwise is named."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"
