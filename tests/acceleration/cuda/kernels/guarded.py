"""Tensors with guards around them, for kernels that must neither read nor write there."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

MARGIN = 64
SENTINEL = -768.0


@dataclass
class Guarded:
    """A channels-last tensor between channels of a larger one, with a margin before and after.

    Attributes:
        base: all numbers.
        view: (N, C, H, W).
    """

    base: Tensor
    view: Tensor

    @classmethod
    def like(
        cls, shape: tuple[int, ...], dtype: torch.dtype, *, around: tuple[int, int] = (0, 0), guard: float = math.nan
    ) -> Guarded:
        """Make one of any values, with `around` channels before and after its own."""
        images, channels, height, width = shape
        pitch = channels + sum(around)
        base = torch.full((2 * MARGIN + images * height * width * pitch,), guard, dtype=dtype)
        strides = (height * width * pitch, 1, width * pitch, pitch)
        return cls(base, base.as_strided(shape, strides, MARGIN + around[0]))

    @classmethod
    def random(cls, shape: tuple[int, ...], dtype: torch.dtype, *, around: tuple[int, int] = (0, 0)) -> Guarded:
        """Make one of normal numbers between numbers that are none, so that reading beside it shows."""
        found = cls.like(shape, dtype, around=around)
        found.view.copy_(torch.randn(shape, dtype=torch.float64))
        return found

    @property
    def rows(self) -> Tensor:
        """The view of one pixel as (N, C)."""
        return self.view[:, :, 0, 0]

    def poison(self) -> None:
        """Fill it with what no kernel writes: NaN inside, a certain number around."""
        self.base.fill_(SENTINEL)
        self.view.fill_(math.nan)

    def guards_hold(self) -> bool:
        """Whether nothing was written around it since it was poisoned."""
        inside = self.view.clone()
        self.view.fill_(SENTINEL)
        held = bool((self.base == SENTINEL).all())
        self.view.copy_(inside)
        return held


def parameter(*shape: int, dtype: torch.dtype, scale: float = 1.0) -> Tensor:
    """Return a random weight or bias, channels last if it has four dimensions, with NaN before and after it."""
    numbers = math.prod(shape)
    base = torch.full((numbers + 2 * MARGIN,), math.nan, dtype=dtype)
    base[MARGIN : MARGIN + numbers] = torch.randn(numbers, dtype=torch.float64) * scale
    found = base[MARGIN : MARGIN + numbers]
    if len(shape) == 4:
        outputs, channels, height, width = shape
        return found.view(outputs, height, width, channels).permute(0, 3, 1, 2)
    return found.view(shape)
