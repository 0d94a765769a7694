"""ONNX Runtime on the CPU, float32."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor
from torch.export import ExportedProgram

from resnexus.acceleration.backends.contract import Backend, Job, Output, Precision, Runner, as_output
from resnexus.acceleration.backends.exporting import exported, onnx_program
from resnexus.architectures.network import FeatureNetwork, Network
from resnexus.packages import required

MODEL = "model.onnx"


@final
class OnnxRuntimeBackend(Backend):
    """No options; every graph optimisation is on."""

    name = "onnxruntime"
    packages = ("onnxruntime", "onnx", "onnxscript")

    def precisions(self, device: str) -> tuple[Precision, ...]:
        """float32: its CPU convolutions know no bfloat16, and int8 is OpenVINO's here."""
        return ("fp32",) if device == "cpu" else ()

    def build(
        self,
        network: Network | FeatureNetwork,
        job: Job,
        options: Mapping[str, str],
        folder: Path,
        calibration: Tensor | None,
    ) -> None:
        """Write an ONNX model for any batch size."""
        write_model(exported(network, job, any_batch=True), folder)

    def built_for(self, job: Job, options: Mapping[str, str]) -> dict[str, Any]:
        """Return nothing: the model takes any batch size."""
        return {}

    def load(self, folder: Path, job: Job, options: Mapping[str, str]) -> Runner:
        """Open a session with the threads of the job."""
        session = required("onnxruntime").InferenceSession(
            str(folder / MODEL), sess_options=session_options(job), providers=["CPUExecutionProvider"]
        )
        return _Runner(session)


def write_model(program: ExportedProgram, folder: Path, opset: int | None = None) -> None:
    """Write a program as an ONNX model, `model.onnx`, in the exporter's own version of the operators if None is given.

    Raises:
        MissingPackageError: onnxscript is not installed.
    """
    onnx_program(program, opset).save(folder / MODEL, external_data=True)


def session_options(job: Job) -> Any:
    """Return the settings of a session: the threads of the job, every graph optimisation.

    Raises:
        BackendError: onnxruntime is not installed.
    """
    onnxruntime = required("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = job.threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    return options


@final
class _Runner:
    def __init__(self, session: Any) -> None:
        self.session = session
        self.input = session.get_inputs()[0].name

    def __call__(self, images: Tensor) -> Output:
        return as_output([torch.from_numpy(part) for part in self.session.run(None, {self.input: images.numpy()})])


BACKEND = OnnxRuntimeBackend()
