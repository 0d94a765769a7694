"""A network as an exported program, the form that every back end starts from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, export

from resnexus.acceleration.backends.contract import Job, Output, mapped
from resnexus.packages import required


def exported(module: nn.Module, job: Job, *, any_batch: bool) -> ExportedProgram:
    """Export a module for the images of a job.

    Args:
        module: (N, C, H, W) float32 -> (N, classes), or a list of feature maps.
        job: where channels, image size and batch size come from.
        any_batch: whether the program takes any batch size, or that of the job alone.
    """
    if any_batch:
        return exported_for(module, torch.zeros(2, *job.shape[1:]), {0: Dim("batch", min=1)})
    return exported_for(module, torch.zeros(job.shape), {})


def exported_for(module: nn.Module, images: Tensor, free: Mapping[int, Any]) -> ExportedProgram:
    """Export a module for images like an example.

    Args:
        module: takes `images`.
        images: the example; a length that is free is not 1, which would be taken for a constant.
        free: axis of the images -> the `Dim` of its lengths, for the axes that are free.
    """
    with torch.no_grad():
        return export(module, (images,), dynamic_shapes=(dict(free),) if free else None)


def onnx_program(program: ExportedProgram, opset: int | None = None, **names: list[str]) -> Any:
    """Return a program as a `torch.onnx.ONNXProgram`.

    Args:
        program: to be translated.
        opset: version of the operators; the exporter's own if None.
        **names: `input_names` and `output_names`, where they are to have others than the exporter's.

    Raises:
        MissingPackageError: onnxscript is not installed.
    """
    required("onnxscript")
    return torch.onnx.export(program, (), dynamo=True, verbose=False, opset_version=opset, **names)  # type: ignore[arg-type]


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
