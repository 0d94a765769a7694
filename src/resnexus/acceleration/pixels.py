"""Engines that take images as bytes: what runs prepared images gets a normalisation in front of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from resnexus.acceleration.backends.contract import Job, Output, Runner, mapped
from resnexus.acceleration.cuda import runner as graphs
from resnexus.acceleration.cuda.normaliser import Normaliser

if TYPE_CHECKING:
    from resnexus.data.preprocess import Preprocess


def of_pixels(runner: Runner, job: Job, preprocess: Preprocess) -> Runner:
    """Return a runner of bytes, (N, H, W, C) uint8.

    Our engine for GPUs normalises in the graph that it captures; before all others it is done apart, on their device.

    Args:
        runner: takes prepared images.
        job: what it is for.
        preprocess: whose mean and deviation images are normalised with.
    """
    if isinstance(runner, graphs.GraphRunner):
        return runner.of_pixels(preprocess)
    return PixelRunner(runner, job, preprocess)


@final
class PixelRunner:
    """Normalises bytes on the device of a job, and runs what takes prepared images.

    Args:
        runner: takes prepared images.
        job: what it is for.
        preprocess: whose mean and deviation images are normalised with.
    """

    def __init__(self, runner: Runner, job: Job, preprocess: Preprocess) -> None:
        self.runner, self._device = runner, graphs.place(job)
        self._normaliser = Normaliser(preprocess, torch.empty(0, device=self._device), ours=False)

    def __call__(self, pixels: Tensor) -> Output:
        """(N, H, W, C) uint8 -> logits or feature maps as the runner returns them, where the pixels are."""
        with torch.no_grad():
            images = self._normaliser(pixels.to(self._device)).contiguous()
        return mapped(lambda output: output.to(pixels.device), self.runner(images))
