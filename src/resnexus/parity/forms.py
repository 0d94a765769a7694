"""Other forms of a network, as files that can be run and compared."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from resnexus.architectures.network import FeatureNetwork, Network
from resnexus.errors import ResnexusError, printable
from resnexus.packages import required
from resnexus.parity.agreement import Agreement, agreement, map_agreement
from resnexus.parity.golden import golden_images


class OnnxNetwork:
    """An ONNX file, run by ONNX Runtime on the CPU.

    Args:
        path: the file; it has one input, (N, C, H, W) images, and one output, (N, classes) logits, or one for each
            feature map.
        outputs: how many it has.

    Attributes:
        image_size: (height, width) that the file is fixed to, 224 for a side that is free.
        batch_size: images that the file is fixed to; None if that is free.

    Raises:
        ResnexusError: no such file, one that ONNX Runtime refuses, other inputs or outputs, or no ONNX Runtime.
    """

    def __init__(self, path: str | os.PathLike[str], outputs: int = 1) -> None:
        self.path = printable(os.fspath(path))
        self._session = onnx_session(Path(path))
        inputs, found = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(found) != outputs or len(inputs[0].shape) != 4:
            shapes = ", ".join(str(item.shape) for item in inputs)
            wanted = "one output" if outputs == 1 else f"{outputs} outputs, one for each map"
            raise ResnexusError(
                f"{self.path}: expected one (N, C, H, W) input and {wanted}; found inputs {shapes} and "
                f"{len(found)} outputs"
            )
        self._input = inputs[0].name
        batch, _, *sides = inputs[0].shape
        self.batch_size: int | None = batch if isinstance(batch, int) else None
        height, width = (side if isinstance(side, int) else 224 for side in sides)
        self.image_size = (height, width)

    def __call__(self, images: Tensor) -> Tensor:
        """(N, C, H, W) float32 images -> (N, classes) logits, the first output.

        Raises:
            ResnexusError: the file is made for other images.
        """
        return self.outputs(images)[0]

    def outputs(self, images: Tensor) -> list[Tensor]:
        """(N, C, H, W) float32 images -> every output.

        Where the file is fixed to a number of images, it gets so many at a time; N is a multiple of that.

        Raises:
            ResnexusError: the file is made for other images.
        """
        size = self.batch_size or len(images)
        parts = [self._run(images[start : start + size]) for start in range(0, len(images), size)]
        return [torch.cat(outputs) for outputs in zip(*parts, strict=True)]

    def _run(self, images: Tensor) -> list[Tensor]:
        refusals = required("onnxruntime").capi.onnxruntime_pybind11_state
        try:
            outputs = self._session.run(None, {self._input: images.numpy()})
        except (refusals.InvalidArgument, refusals.Fail, refusals.RuntimeException) as error:
            reason = printable(" ".join(str(error).split()))[:300]
            raise ResnexusError(
                f"{self.path}: it does not take {tuple(images.shape)} float32 images: {reason}"
            ) from error
        return [torch.from_numpy(output) for output in outputs]


@torch.inference_mode()
def compare_forms(network: Network | FeatureNetwork, form: OnnxNetwork) -> Agreement:
    """Compare a network with another form of it, on the golden images, in float32.

    There are two images; a form that is fixed to more gets them in turn, so that every place of its batch is compared.

    Args:
        network: in evaluation mode, float32, with the weights that the form was made from.
        form: what to compare.
    """
    images = torch.from_numpy(golden_images(form.image_size))
    images = images[:, [channel % 3 for channel in range(network.in_chans)]]
    size = form.batch_size or len(images)
    images = images.repeat(-(-size // len(images)), 1, 1, 1)[: max(size, len(images))]
    if isinstance(network, FeatureNetwork):
        return map_agreement(network.out_indices, network(images), form.outputs(images))
    return agreement(network(images), form(images))


def onnx_session(path: Path, threads: int | None = None) -> Any:
    """Open an ONNX file on the CPU.

    Args:
        path: the file.
        threads: in which ONNX Runtime computes; as many as it takes by itself if None.

    Raises:
        ResnexusError: no such file, one that ONNX Runtime refuses, or no ONNX Runtime.
    """
    onnxruntime = required("onnxruntime")
    refusals = onnxruntime.capi.onnxruntime_pybind11_state
    if not path.is_file():
        raise ResnexusError(f"no such file: {printable(path)}")
    options = onnxruntime.SessionOptions()
    if threads is not None:
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except (refusals.InvalidProtobuf, refusals.InvalidGraph, refusals.Fail, refusals.NoSuchFile) as error:
        raise ResnexusError(f"{printable(path)}: ONNX Runtime cannot open it: {printable(error)}") from error
