"""Images as bytes: normalised where the network runs, before its first step."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from resnexus.acceleration.cuda.our_calls import kernel

if TYPE_CHECKING:
    from resnexus.data.preprocess import Preprocess


@final
class Normaliser:
    """(pixels / 255 - mean) / std, computed in float32 and rounded once.

    Nothing is read from the host in a call, so that one can be captured.

    Args:
        preprocess: whose mean and deviation they are.
        like: a tensor of the dtype and on the device of the result.
        ours: whether our kernel does it, in one pass, for three channels; five passes of PyTorch's own if not.
    """

    def __init__(self, preprocess: Preprocess, like: Tensor, *, ours: bool) -> None:
        self._preprocess, self._dtype = preprocess, like.dtype
        self._ours = ours and preprocess.in_chans == 3
        self._mean, self._std = (
            torch.tensor(numbers, dtype=torch.float32, device=like.device)[:, None, None]
            for numbers in (preprocess.mean, preprocess.std)
        )

    def __call__(self, pixels: Tensor) -> Tensor:
        """(N, H, W, C) uint8, contiguous -> (N, C, H, W), channels last."""
        if self._ours:
            shape = pixels.permute(0, 3, 1, 2).shape
            out = torch.empty(shape, dtype=self._dtype, device=pixels.device, memory_format=torch.channels_last)
            kernel("preprocess").normalise(pixels, self._preprocess.mean, self._preprocess.std, out)
            return out
        numbers = pixels.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.channels_last)
        return numbers.mul_(1 / 255).sub_(self._mean).div_(self._std).to(self._dtype)
