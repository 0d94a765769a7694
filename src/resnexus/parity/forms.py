"""Other forms of a network, as files that can be run and compared."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from resnexus.errors import ResnexusError
from resnexus.parity.agreement import Agreement, agreement
from resnexus.parity.golden import golden_images


class OnnxNetwork:
    """An ONNX file, run by ONNX Runtime on the CPU.

    Args:
        path: the file; it has one input, (N, C, H, W) images, and one output, (N, classes) logits.

    Attributes:
        image_size: (height, width) that the file is fixed to, 224 for a side that is free.

    Raises:
        ResnexusError: no such file, one that ONNX Runtime refuses, other inputs or outputs, or no ONNX Runtime.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._session = _session(Path(path))
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1 or len(inputs[0].shape) != 4:
            shapes = ", ".join(str(item.shape) for item in inputs)
            raise ResnexusError(
                f"{os.fspath(path)}: expected one (N, C, H, W) input and one output; found inputs {shapes} and "
                f"{len(outputs)} outputs"
            )
        self._input = inputs[0].name
        height, width = (side if isinstance(side, int) else 224 for side in inputs[0].shape[2:])
        self.image_size = (height, width)

    def __call__(self, images: Tensor) -> Tensor:
        """(N, C, H, W) float32 images -> (N, classes) logits."""
        (logits,) = self._session.run(None, {self._input: images.numpy()})
        return torch.from_numpy(logits)


def compare_forms(network: nn.Module, form: OnnxNetwork) -> Agreement:
    """Compare a network with another form of it, on the golden images, in float32.

    Args:
        network: in evaluation mode, float32, with the weights that the form was made from.
        form: what to compare.
    """
    images = torch.from_numpy(golden_images(form.image_size))
    with torch.inference_mode():
        return agreement(network(images), form(images))


def _session(path: Path) -> Any:
    try:
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as refusals
    except ImportError as error:
        raise ResnexusError("ONNX files need ONNX Runtime: pip install 'resnexus[export]'") from error
    if not path.is_file():
        raise ResnexusError(f"no such file: {path}")
    try:
        return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    except (refusals.InvalidProtobuf, refusals.InvalidGraph, refusals.Fail, refusals.NoSuchFile) as error:
        raise ResnexusError(f"{path}: ONNX Runtime cannot open it: {error}") from error
