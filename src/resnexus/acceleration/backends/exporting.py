"""A network as an exported program, the form that every back end starts from."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, export

from resnexus.acceleration.backends.contract import Job, Output, mapped


def exported(module: nn.Module, job: Job, *, any_batch: bool) -> ExportedProgram:
    """Export a module for the images of a job.

    Args:
        module: (N, C, H, W) float32 -> (N, classes), or a list of feature maps.
        job: where channels, image size and batch size come from.
        any_batch: whether the program takes any batch size, or that of the job alone.
    """
    # A batch of one would be taken for a constant.
    images = torch.zeros(2, *job.shape[1:]) if any_batch else torch.zeros(job.shape)
    shapes = ({0: Dim("batch", min=1)},) if any_batch else None
    with torch.no_grad():
        return export(module, (images,), dynamic_shapes=shapes)


class Prepared(nn.Module):
    """A network in another dtype and memory format behind float32 images, logits and contiguous feature maps."""

    def __init__(self, network: nn.Module, dtype: torch.dtype, memory_format: torch.memory_format) -> None:
        super().__init__()
        self.network = network
        self.dtype, self.memory_format = dtype, memory_format

    def forward(self, images: Tensor) -> Output:
        """(N, C, H, W) float32 -> (N, classes) float32, or the list of feature maps, contiguous."""
        output: Output = self.network(images.to(dtype=self.dtype, memory_format=self.memory_format))
        return mapped(lambda part: part.float().contiguous(), output)
