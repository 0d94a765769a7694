"""What the numbers of a record may be."""

from __future__ import annotations

from math import isfinite

from resnexus.errors import ResnexusError


def whole(**values: int) -> None:
    """Check that every value is a whole number of at least 1.

    Raises:
        ResnexusError: one is not; names it.
    """
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ResnexusError(f"{name}={value!r}: expected a whole number of at least 1")


def positive(**values: float) -> None:
    """Check that every value is finite and more than 0.

    Raises:
        ResnexusError: one is not; names it.
    """
    for name, value in values.items():
        if not (isfinite(value) and value > 0):
            raise ResnexusError(f"{name}={value}: expected more than 0")


def not_negative(**values: float) -> None:
    """Check that every value is finite and at least 0.

    Raises:
        ResnexusError: one is not; names it.
    """
    for name, value in values.items():
        if not (isfinite(value) and value >= 0):
            raise ResnexusError(f"{name}={value}: expected at least 0")


def rising(**values: float) -> None:
    """Check that no value is below the one before it.

    Raises:
        ResnexusError: one is; names all.
    """
    if list(values.values()) != sorted(values.values()):
        shown = ", ".join(f"{name}={value}" for name, value in values.items())
        raise ResnexusError(f"{shown}: expected no value below the one before it")
