"""Where activations lie in memory: blocks of 16 channels, each image by image, row by row, pixel by pixel.

[channels / 16][images][rows][columns][16 channels]; rows and images may have a border of zeros, which is the padding
of the convolution that reads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from resnexus.acceleration.native.packing import LANES

_WINOGRAD_TILE = 4
_CACHE_SETS = 64  # of a first-level cache, in lines of 16 floats


@dataclass(eq=False)
class Buffer:
    """Memory for activations.

    Attributes:
        floats: its size.
        border: what must be equal for two buffers to share memory, so that the zeros of a border stay; None without
            one.
    """

    floats: int
    border: tuple[int, ...] | None


@dataclass(frozen=True, eq=False)
class Activations:
    """Activations in a buffer; strides in floats.

    Attributes:
        buffer: where.
        start: floats from its beginning to block 0, image 0, row 0, column 0.
        cells: how many channels of every block are in use.
        images: batch size.
        height: rows.
        width: columns.
        pixel: stride of a column.
        row: stride of a row.
        image: stride of an image.
        block: stride of a block of channels.
    """

    buffer: Buffer
    start: int
    cells: tuple[int, ...]
    images: int
    height: int
    width: int
    pixel: int
    row: int
    image: int
    block: int

    @property
    def channels(self) -> int:
        """How many channels are in use."""
        return sum(self.cells)

    @property
    def bare(self) -> bool:
        """Whether the pixels of all images follow each other without a gap."""
        return self.row == self.width * LANES and (self.images == 1 or self.image == self.height * self.row)

    def part(self, first: int, count: int) -> Activations:
        """Return some of the channel blocks."""
        return replace(self, start=self.start + first * self.block, cells=self.cells[first : first + count])

    def some(self, first: int, count: int) -> Activations:
        """Return some of the images."""
        return replace(self, start=self.start + first * self.image, images=count)

    def apart(self, down: int, across: int, dilation: int) -> Activations:
        """Return the pixels that are `dilation` apart in both directions, from a row and a column on."""
        return replace(
            self,
            start=self.start + down * self.row + across * self.pixel,
            height=-(-(self.height - down) // dilation),
            width=-(-(self.width - across) // dilation),
            pixel=self.pixel * dilation,
            row=self.row * dilation,
        )

    def as_gate(self) -> Activations:
        """Return one value per image and channel as if every pixel had it."""
        return replace(self, pixel=0, row=0)


def cells_of(channels: int) -> tuple[int, ...]:
    """Return how many channels of every block are in use if they lie without gaps."""
    return tuple(min(LANES, channels - start) for start in range(0, channels, LANES))


def blocked(cells: Sequence[int], images: int, height: int, width: int, *, border: bool = False) -> Activations:
    """Return new activations; a border is one pixel wide, and reaches to the end of the last Winograd tile."""
    near, below, right = 0, 0, 0
    if border:
        near = 1
        below, right = (-(-size // _WINOGRAD_TILE) * _WINOGRAD_TILE + 1 - size for size in (height, width))
    row = (near + width + right) * LANES
    image = (near + height + below) * row
    block = image * images
    if block >= 8 * _CACHE_SETS * LANES:  # neighbouring blocks must not meet in the same sets of a cache
        block += (15 * LANES - block) % (_CACHE_SETS * LANES)
    buffer = Buffer(block * len(cells), (images, height, width, block) if border else None)
    start = near * (row + LANES)
    return Activations(buffer, start, tuple(cells), images, height, width, LANES, row, image, block)


def planes(channels: int, images: int, height: int, width: int, border: int) -> Activations:
    """Return new activations of one channel per block, as images come, with a border of some pixels."""
    row = -(-(width + 2 * border) // LANES) * LANES
    image = (height + 2 * border) * row
    block = image * images
    buffer = Buffer(block * channels, (images, height, width, border, 1))
    return Activations(buffer, border * (row + 1), (1,) * channels, images, height, width, 1, row, image, block)
