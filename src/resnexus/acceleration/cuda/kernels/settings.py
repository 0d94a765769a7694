"""How the work of a kernel is cut up: rows of the tables that a tuner tries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

from torch import Tensor

from resnexus.acceleration.backends.contract import BackendError

SMALLEST_PRODUCT = 16
"""Sides of the smallest matrices that tensor cores multiply."""

PACK = 32
"""Channels that narrow groups are joined to where nothing else is asked for."""

LARGEST_PACK = 64
"""Channels of a pack that still fit into the registers of a program, beside what is multiplied with them."""

ENOUGH_PROGRAMS = 100
"""For three quarters of the 132 multiprocessors of an H100 or H200; with fewer, too many have nothing to do."""

SHARED_BYTES = 96 * 1024
"""What one program may fill of its multiprocessor with what it loads ahead; all GPUs since sm_80 have that much."""


@dataclass(frozen=True, kw_only=True)
class Tile:
    """What one program of a kernel without matrix products works on.

    Attributes:
        pixels: rows of the tile; a power of two.
        channels: columns of the tile; a power of two.
        splits: parts that the sum over an image is cut into.
        warps: of 32 threads each; a power of two.

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
        pixels: rows of the result; a power of two of at least 16.
        outputs: columns of the result; a power of two of at least 16.
        depth: input channels that are multiplied at once; a power of two of at least 16.
        splits: parts that the sum over all input channels and taps is cut into, each a program of its own.
        warps: of 32 threads each; a power of two.
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

    def shared_bytes(self, itemsize: int) -> int:
        """Return the bytes that lie ready for the products, of numbers of `itemsize` bytes."""
        return self.stages * (self.pixels + self.outputs) * self.depth * itemsize


Row = TypeVar("Row", Tile, Product)


def filling(rows: Sequence[Row], programs: Callable[[Row], int]) -> Row:
    """Return the first row whose programs fill a GPU; if none does, the one with most programs.

    Args:
        rows: from large tiles to small ones; at least one.
        programs: how many programs a row makes.
    """
    return next((row for row in rows if programs(row) >= ENOUGH_PROGRAMS), max(rows, key=programs))


def suiting(
    rows: Sequence[Product], out: Tensor, *, depth: int, itemsize: int, taps: int = 1, multiple: int | None = None
) -> tuple[Product, ...]:
    """Return the rows that are worth a try for a product.

    Those are left out whose tile would be half empty, whose sum has fewer steps than splits, that load more ahead than
    every GPU has room for, or that do not divide the outputs of a group.

    Args:
        rows: of a table; the last is returned if none suits.
        out: (N, outputs, H, W) of the product.
        depth: input channels of each output.
        itemsize: bytes of a number.
        taps: pixels that are multiplied for each output.
        multiple: outputs of a group, of which a tile must be a divisor; None without groups.
    """
    images, outputs, height, width = out.shape
    pixels = images * height * width
    found = tuple(
        row
        for row in rows
        if row.pixels < max(2 * pixels, 2 * SMALLEST_PRODUCT)
        and row.outputs < max(2 * outputs, 2 * SMALLEST_PRODUCT)
        and row.depth < max(2 * depth, 2 * SMALLEST_PRODUCT)
        and row.splits <= pieces(depth, row.depth) * taps
        and row.shared_bytes(itemsize) <= SHARED_BYTES
        and (multiple is None or multiple % row.outputs == 0)
    )
    return found or tuple(rows[-1:])


def tiles(out: Tensor, row: Product) -> int:
    """Return how many tiles of a row the outputs (N, outputs, H, W) of a product are."""
    images, outputs, height, width = out.shape
    return pieces(images * height * width, row.pixels) * pieces(outputs, row.outputs)


def pack_width(groups: int, per_group: int, pack: int = PACK) -> int:
    """Return how many channels a pack of neighbouring groups has.

    Args:
        groups: of channels.
        per_group: channels of each.
        pack: channels of a pack at most.

    Returns:
        A multiple of 16, or all channels: the largest that is at most `pack`, or else the smallest.
    """
    counts = [count for count in range(1, groups + 1) if groups % count == 0]
    widths = [count * per_group for count in counts if count * per_group % SMALLEST_PRODUCT == 0 or count == groups]
    return max((width for width in widths if width <= pack), default=min(widths))


def power_of_two(count: int, least: int = 1) -> int:
    """Return the smallest power of two that is neither below `count` nor below `least`, itself one."""
    return max(least, 1 << (count - 1).bit_length())


def pieces(count: int, size: int) -> int:
    """Return how many pieces of `size` hold `count`."""
    return -(-count // size)


def _check(row: Tile | Product, names: tuple[str, ...], *, least: int) -> None:
    """Refuse sides that are no powers of two, and any number below 1."""
    for name in names:
        value = getattr(row, name)
        if value < least or value & (value - 1):
            raise BackendError(f"{name}={value}: expected a power of two of at least {least}")
    for field in fields(row):
        if getattr(row, field.name) < 1:
            raise BackendError(f"{field.name}={getattr(row, field.name)}: expected a whole number of at least 1")
