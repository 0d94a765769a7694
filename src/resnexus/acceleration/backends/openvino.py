"""OpenVINO on the CPU: float32, bfloat16, and int8 after calibration with NNCF."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, final

import torch
from torch import Tensor

from resnexus.acceleration.backends.contract import (
    Backend,
    BackendError,
    Job,
    Output,
    Precision,
    Runner,
    as_output,
    check_options,
    joined,
)
from resnexus.acceleration.backends.exporting import exported
from resnexus.acceleration.backends.int8 import Operation, gate_operations, quantised
from resnexus.architectures.network import FeatureNetwork, Network
from resnexus.packages import required
from resnexus.signal_stack import signal_stack_kept

_MODEL = "model.xml"
_OPTIONS: dict[str, tuple[str, ...] | re.Pattern[str]] = {
    "parts": re.compile("[1-9][0-9]{0,5}"),
    "rest": ("f32", "bf16"),
}
_HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}


@final
class OpenVinoBackend(Backend):
    """Options, all of them optional.

    `parts`: the batch is cut into as many equal parts, which run side by side on one thread each, or in turn.
    `rest`: what an int8 network computes in where it is not quantised, `"f32"` or `"bf16"`.

    In int8, convolutions and the classifier are quantised, gates are not: their few multiply-adds decide over whole
    channels, and cost as good as nothing.
    """

    name = "openvino"
    packages = ("openvino",)
    more_packages = MappingProxyType({"int8": ("nncf",)})

    def precisions(self, device: str) -> tuple[Precision, ...]:
        """float32; bfloat16 where the processor has instructions for it; int8."""
        if device != "cpu":
            return ()
        found: list[Precision] = ["fp32"]
        with signal_stack_kept():
            capabilities = _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if "BF16" in capabilities:
            found.append("bf16")
        return (*found, "int8")

    def build(
        self,
        network: Network | FeatureNetwork,
        job: Job,
        options: Mapping[str, str],
        folder: Path,
        calibration: Tensor | None,
    ) -> None:
        """Write OpenVINO's own format, weights in float32, or in int8 after calibration."""
        if job.precision == "int8" and calibration is None:
            raise BackendError("int8 needs images to calibrate with: give calibration")
        openvino = required("openvino")
        model = openvino.convert_model(exported(network, job, any_batch=True))
        if calibration is not None and job.precision == "int8":
            model = quantised_model(model, calibration)
        model.reshape([-1, *job.shape[1:]])
        openvino.save_model(model, folder / _MODEL, compress_to_fp16=False)

    def built_for(self, job: Job, options: Mapping[str, str]) -> dict[str, Any]:
        """Weights are kept in float32 or int8; batch size and options are applied when the file is opened."""
        return {"weights": "int8, ranges from the extremes, gates in fp32" if job.precision == "int8" else "fp32"}

    def load(self, folder: Path, job: Job, options: Mapping[str, str]) -> Runner:
        """Compile the model for the batch size and the threads of the job."""
        check_options(self.name, options, _OPTIONS)
        parts = int(options.get("parts", "1"))
        size, rest = divmod(job.batch_size, parts)
        if rest:
            raise BackendError(f"a batch of {job.batch_size} cannot be cut into {parts} equal parts")
        model = _core().read_model(folder / _MODEL)
        model.reshape([size, *job.shape[1:]])
        side_by_side = min(parts, job.threads)
        settings = {
            "INFERENCE_PRECISION_HINT": options.get("rest", _HINTS[job.precision]),
            "INFERENCE_NUM_THREADS": job.threads,
            "NUM_STREAMS": side_by_side,
        }
        with signal_stack_kept():
            compiled = _core().compile_model(model, "CPU", settings)
        return _Runner([compiled.create_infer_request() for _ in range(side_by_side)], size)


@final
class _Runner:
    """Runs parts of a batch on requests that take turns."""

    def __init__(self, requests: list[Any], size: int) -> None:
        self.requests, self.size = requests, size

    def __call__(self, images: Tensor) -> Output:
        arrays = [part.numpy() for part in torch.split(images, self.size)]
        if len(arrays) == 1:
            self.requests[0].infer(arrays, share_inputs=True, share_outputs=True)
            return _output(self.requests[0])
        outputs = []
        for start in range(0, len(arrays), len(self.requests)):
            running = list(zip(self.requests, arrays[start:], strict=False))
            for request, array in running:
                request.start_async([array], share_inputs=True)
            for request, _ in running:
                request.wait()
                outputs.append(_output(request))
        return joined(outputs)


def _output(request: Any) -> Output:
    # Copied: the request writes its next output where this one is.
    return as_output([torch.from_numpy(tensor.data).clone() for tensor in request.output_tensors])


@cache
def _core() -> Any:
    return required("openvino").Core()


def quantised_model(model: Any, images: Tensor, left_alone: Sequence[str] = ()) -> Any:
    """Return a copy of a model in int8, for batches of one; of the model the batch size alone is changed.

    Args:
        model: takes images, and gives logits or maps.
        images: (K, C, H, W) float32, to calibrate with.
        left_alone: names of operations to leave as they are, besides the gates.
    """
    model.reshape([1, *images.shape[1:]])
    names = dict.fromkeys((*gate_operations(operations(model)), *left_alone))
    return quantised(model, [image[None].numpy() for image in images], list(names))


def operations(model: Any) -> list[Operation]:
    """Return the operations of a model, in the order in which they run."""
    return [
        Operation(
            name=operation.get_friendly_name(),
            kind=operation.get_type_name().lower(),
            inputs=tuple(_sources(operation)),
        )
        for operation in model.get_ordered_ops()
        if operation.get_type_name() != "Constant"
    ]


def _sources(operation: Any) -> Iterator[str]:
    for value in operation.inputs():
        source = value.get_source_output().get_node()
        if source.get_type_name() != "Constant":
            yield source.get_friendly_name()


BACKEND = OpenVinoBackend()
