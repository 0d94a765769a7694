"""Dilation in place of strides: the same function on a finer grid.

At output stride s, a stage that would go beyond s keeps its image size. Every layer after that reads its neighbours as
many pixels apart as they would have come together, so that every k-th pixel of the result, k the strides left out, is
the plain network's: dilated(x)[..., ::k, ::k] = strided(x), at any image size. Pools are dilated too, and do not count
what lies outside of the image; which blocks chain their splits and which pool their shortcut follows the row, not the
strides that are left. A gate takes the mean over the finer grid, so that gated networks compute a neighbouring
function, not the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from resnexus.architectures.spec import Architecture
from resnexus.errors import ResnexusError


@dataclass(frozen=True, kw_only=True)
class Grid:
    """How a block moves over the image.

    Attributes:
        stride: of the block, as its row has it.
        before: pixels of the block's input between two that are neighbours in the plain network.
        after: the same of its output.
    """

    stride: int
    before: int = 1
    after: int = 1

    @property
    def step(self) -> int:
        """The stride that is left: 1 where dilation takes its place."""
        return self.stride * self.before // self.after


def grid(row: Architecture, stage: int, block: int, output_stride: int) -> Grid:
    """Return how a block moves over the image in a network of an output stride."""
    stride, reduction = row.stride(stage, block), row.reductions[stage]
    return Grid(
        stride=stride,
        before=max(1, reduction // stride // output_stride),
        after=max(1, reduction // output_stride),
    )


def resolved_output_stride(row: Architecture, output_stride: int | None) -> int:
    """Return the output stride that was asked for; None is the row's own, image pixels per pixel of its last map.

    Raises:
        ResnexusError: no stage of the row ends there.
    """
    if output_stride is None:
        return row.reductions[-1]
    if isinstance(output_stride, bool) or output_stride not in row.reductions:
        accepted = ", ".join(map(str, row.reductions))
        raise ResnexusError(
            f"output_stride={output_stride!r}: expected one of {accepted}, where {row.name}'s stages end"
        )
    return output_stride
