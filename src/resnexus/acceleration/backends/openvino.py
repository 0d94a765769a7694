"""OpenVINO on the CPU: float32, bfloat16, and int8 after calibration with NNCF."""

from __future__ import annotations

import io
import logging
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
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
from resnexus.architectures.network import FeatureNetwork, Network
from resnexus.packages import required

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
        if "BF16" in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
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
            model.reshape([1, *job.shape[1:]])
            model = _quantised(model, calibration)
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


def _quantised(model: Any, calibration: Tensor) -> Any:
    with _nncf_quiet() as nncf:
        # By default an activation's range is the mean of the images' largest values, which clips every image above it.
        ranges = nncf.quantization.range_estimator.RangeEstimatorParametersSet.MINMAX
        return nncf.quantize(
            model,
            nncf.Dataset([image[None].numpy() for image in calibration]),
            subset_size=len(calibration),
            ignored_scope=nncf.IgnoredScope(names=_gate_names(model)),
            advanced_parameters=nncf.AdvancedQuantizationParameters(activations_range_estimator_params=ranges),
        )


@contextmanager
def _nncf_quiet() -> Iterator[Any]:
    """Give NNCF, whose output is none of ours: bars go to a terminal or nowhere, and only warnings are logged."""
    with redirect_stdout(sys.stderr if sys.stderr.isatty() else io.StringIO()):
        nncf = required("nncf")  # in here, because its logger writes for ever to where this leads
        logger = logging.getLogger("nncf")
        before = logger.level
        logger.setLevel(logging.WARNING)
        try:
            yield nncf
        finally:
            logger.setLevel(before)


def _gate_names(model: Any) -> list[str]:
    """Return the names of all operations of the gates, from the mean to where they meet what they gate.

    NNCF leaves gates alone that it knows: those of two 1x1 convolutions. Ours are two matrix products, and some are
    computed from the mean of another tensor than they gate.
    """
    found: list[str] = []
    for operation in model.get_ordered_ops():
        if operation.get_type_name() == "Sigmoid":
            found += _down_to_product(operation)
            found += _up_to_mean(operation)
    return list(dict.fromkeys(found))


def _down_to_product(sigmoid: Any) -> list[str]:
    names, operation = [], sigmoid
    while operation.get_type_name() != "Multiply":
        (target,) = operation.output(0).get_target_inputs()
        operation = target.get_node()
        names.append(operation.get_friendly_name())
    return names


def _up_to_mean(sigmoid: Any) -> list[str]:
    names, open_ = [], [sigmoid]
    while open_:
        operation = open_.pop()
        if operation.get_type_name() != "Constant":
            names.append(operation.get_friendly_name())
            if operation.get_type_name() != "ReduceMean":
                open_ += [value.get_source_output().get_node() for value in operation.inputs()]
    return names


BACKEND = OpenVinoBackend()
