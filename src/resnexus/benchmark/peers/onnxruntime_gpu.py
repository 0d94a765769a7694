"""ONNX Runtime on a GPU as a peer: with its own CUDA kernels, or with TensorRT behind it.

Images, logits and the model have fixed places and sizes, so that a call replays one CUDA graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, final

import numpy as np
import torch
from torch import Tensor

from resnexus.acceleration.backends.contract import DTYPES, BackendError, Job, Precision, Runner
from resnexus.acceleration.backends.exporting import Prepared, exported
from resnexus.acceleration.backends.onnxruntime import MODEL, session_options, write_model
from resnexus.architectures.network import Network
from resnexus.packages import required
from resnexus.rewrites.folding import cast, fold_batch_norm

Provider = Literal["CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"]

PRECISIONS: Mapping[Provider, tuple[Precision, ...]] = MappingProxyType(
    {
        "CUDAExecutionProvider": ("fp32", "fp16"),  # it has no convolution in bfloat16
        "TensorrtExecutionProvider": ("bf16", "fp16"),  # float32 becomes TF32, and no option keeps it from that
    }
)
"""What each provider of a GPU computes in."""

_FIRST_OPSET_WITH_BFLOAT16 = 22  # in convolutions and pools


def check_provider(provider: Provider) -> None:
    """Check that a provider can be asked for, before a network is exported for it.

    Raises:
        BackendError: ONNX Runtime or TensorRT is not installed, or was built without it.
    """
    if provider == "TensorrtExecutionProvider":
        try:
            import_module("tensorrt")  # loads the libraries that ONNX Runtime looks for
        except ImportError as error:
            raise BackendError(f"TensorRT cannot be loaded ({error}): pip install 'tensorrt>=10,<11'") from error
    if provider not in required("onnxruntime").get_available_providers():
        raise BackendError(
            f"this ONNX Runtime was built without {provider}: pip uninstall onnxruntime, then pip install "
            "onnxruntime-gpu"
        )


def build_onnx(network: Network, job: Job, folder: Path) -> None:
    """Write an ONNX model of the job's batch size and precision; images and logits are float32.

    Args:
        network: float32, in evaluation mode; left as it is.
        job: what it is for; the model itself does not depend on the device.
        folder: exists.

    Raises:
        BackendError: onnxscript is not installed.
    """
    dtype = DTYPES[job.precision]
    # The exporter folds batch normalisation, too, but in this precision, and in bfloat16 into weights of float32.
    folded = cast(fold_batch_norm(network), dtype)
    module = Prepared(folded, dtype, torch.contiguous_format).eval()
    opset = _FIRST_OPSET_WITH_BFLOAT16 if job.precision == "bf16" else None
    write_model(exported(module, job, any_batch=False), folder, opset)


def load_onnx(folder: Path, job: Job, provider: Provider) -> Runner:
    """Open a model that `build_onnx` wrote for the same job.

    One batch runs before it returns: that is when kernels are chosen and the CUDA graph is recorded.

    Raises:
        BackendError: `check_provider` says so, or ONNX Runtime does not open the whole network with this provider.
    """
    check_provider(provider)
    options = session_options(job)
    if job.device != "cpu":  # no layer may fall back to it
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    try:
        # Without `enable_fallback=0` it would try the CPU and say so in print.
        session = required("onnxruntime").InferenceSession(
            str(folder / MODEL), options, providers=_providers(provider, job), enable_fallback=0
        )
    except Exception as error:  # its exceptions have no base of their own
        raise BackendError(
            f"ONNX Runtime does not open the network with {provider}: {error}; if that is about the CPU, it did not "
            "find the libraries of CUDA or TensorRT that it was built for"
        ) from error
    if session.get_providers()[0] != provider:
        raise BackendError(f"ONNX Runtime did not load {provider}: it needs the libraries that it was built for")
    runner = _BoundRunner(session, job)
    runner(torch.zeros(job.shape, device=job.device))
    return runner


def _providers(provider: Provider, job: Job) -> list[tuple[Provider, dict[str, str]]]:
    """Return a provider with its options for one model that runs again and again, and what it is built on."""
    if provider == "CPUExecutionProvider":
        return [(provider, {})]
    cuda = {
        "cudnn_conv_algo_search": "EXHAUSTIVE",
        "cudnn_conv_use_max_workspace": "1",
        "use_tf32": "0",  # as everything that is timed beside it
        "prefer_nhwc": "0" if job.precision == "fp32" else "1",  # as the tensor cores read it
    }
    if provider == "CUDAExecutionProvider":
        return [(provider, cuda | {"enable_cuda_graph": "1"})]
    tensorrt = {
        "trt_builder_optimization_level": "5",
        "trt_cuda_graph_enable": "True",  # this provider takes no 1 for it
        "trt_fp16_enable": str(job.precision == "fp16"),
        "trt_bf16_enable": str(job.precision == "bf16"),
    }
    return [(provider, tensorrt), ("CUDAExecutionProvider", cuda)]


@final
class _BoundRunner:
    """A session that reads images and writes logits where they always are."""

    def __init__(self, session: Any, job: Job) -> None:
        self.session, self.job = session, job
        (image,), (logit,) = session.get_inputs(), session.get_outputs()
        self.images = torch.zeros(job.shape, device=job.device)
        self.logits = torch.zeros(tuple(logit.shape), device=job.device)
        self.binding = session.io_binding()
        for bind, name, tensor in (
            (self.binding.bind_input, image.name, self.images),
            (self.binding.bind_output, logit.name, self.logits),
        ):
            bind(name, job.device, 0, np.float32, tuple(tensor.shape), tensor.data_ptr())

    def __call__(self, images: Tensor) -> Tensor:
        self.images.copy_(images)
        if self.job.device == "cuda":  # the session has a stream of its own
            torch.cuda.current_stream().synchronize()
        self.session.run_with_iobinding(self.binding)  # returns when the logits are there
        return self.logits.clone()
