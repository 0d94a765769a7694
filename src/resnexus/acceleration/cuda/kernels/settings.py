"""How the work of a kernel is cut up: rows of the tables that a tuner tries."""

from __future__ import annotations

from dataclasses import dataclass, fields

from resnexus.acceleration.backends.contract import BackendError

SMALLEST_PRODUCT = 16
"""Sides of the smallest matrices that tensor cores multiply."""


@dataclass(frozen=True, kw_only=True)
class Tile:
    """What one program of a kernel without matrix products works on.

    Attributes:
        pixels: rows of the tile.
        channels: columns of the tile.
        splits: parts that the sum over an image is cut into.
        warps: of 32 threads each.

    Raises:
        BackendError: a number that is not accepted.
    """

    pixels: int
    channels: int
    splits: int = 1
    warps: int = 4

    def __post_init__(self) -> None:
        _check(self, ("pixels", "channels", "warps"), least=1)


@dataclass(frozen=True, kw_only=True)
class Product:
    """What one program of a matrix product works on.

    Attributes:
        pixels: rows of the result.
        outputs: columns of the result.
        depth: input channels that are multiplied at once.
        splits: parts that the sum over all input channels and taps is cut into, each a program of its own.
        warps: of 32 threads each.
        stages: loads that are under way while another is multiplied.

    Raises:
        BackendError: a number that is not accepted.
    """

    pixels: int
    outputs: int
    depth: int
    splits: int = 1
    warps: int = 4
    stages: int = 3

    def __post_init__(self) -> None:
        _check(self, ("pixels", "outputs", "depth"), least=SMALLEST_PRODUCT)
        _check(self, ("warps",), least=1)


def _check(row: Tile | Product, names: tuple[str, ...], *, least: int) -> None:
    """Refuse sides that are no powers of two, and any number below 1."""
    for name in names:
        value = getattr(row, name)
        if value < least or value & (value - 1):
            raise BackendError(f"{name}={value}: expected a power of two of at least {least}")
    for field in fields(row):
        if getattr(row, field.name) < 1:
            raise BackendError(f"{field.name}={getattr(row, field.name)}: expected a whole number of at least 1")
