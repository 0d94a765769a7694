"""How each engine of a benchmark opens a network, and what runs it then.

Each function takes the network as a `Workload` and what is to be run as a `Job`, and raises BackendError if it cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from resnexus.acceleration import engine as accelerated
from resnexus.acceleration.backends.contract import DTYPES, BackendError, Candidate, Job, Output, Runner
from resnexus.acceleration.backends.exporting import Prepared
from resnexus.acceleration.backends.registry import backend
from resnexus.acceleration.backends.torch import using_threads
from resnexus.acceleration.planning.building import built_once
from resnexus.acceleration.planning.cache import EngineCache
from resnexus.acceleration.planning.planner import Planner
from resnexus.benchmark.peers import onnxruntime_gpu
from resnexus.benchmark.workload import Workload

TIMM = MappingProxyType(
    {
        "ResNeXt50_32x4d": "resnext50_32x4d",
        "ResNeXt50_vd_32x4d": "resnext50d_32x4d",
        "ResNeXt101_32x4d": "resnext101_32x4d",
        "ResNeXt101_64x4d": "resnext101_64x4d",
        "SE_ResNeXt50_32x4d": "seresnext50_32x4d",
        "SE_ResNeXt101_32x4d": "seresnext101_32x4d",
    }
)
"""timm's names of the networks that it computes exactly as we do."""

DEFAULT = "default"
FROZEN = {"freezing": True}
SILENT = {"autotune_num_choices_displayed": 0, "max_autotune_report_choices_stats": False}

# Every network that is compiled is one more version of the same code to the compiler.
_MOST_VERSIONS = 256


class _TorchRunner:
    """A module behind float32 images, logits and feature maps."""

    def __init__(self, module: Callable[[Tensor], Output], threads: int) -> None:
        self.module, self.threads = module, threads

    def __call__(self, images: Tensor) -> Output:
        with torch.inference_mode(), using_threads(self.threads):
            return self.module(images)


def plain(memory_format: torch.memory_format, workload: Workload, job: Job) -> Runner:
    """Open the network in PyTorch as it is, in some memory format."""
    return _TorchRunner(_prepared(workload.network, memory_format, job), job.threads)


def _prepared(network: nn.Module, memory_format: torch.memory_format, job: Job) -> nn.Module:
    dtype = DTYPES[job.precision]
    own = deepcopy(network).requires_grad_(False).to(job.device, dtype)
    return Prepared(own.to(memory_format=memory_format), dtype, memory_format).eval()


def compiled(mode: str, options: Mapping[str, Any], workload: Workload, job: Job) -> Runner:
    """Open the network compiled, channels last, with the options of a mode of `torch.compile` and more."""
    return _compile(workload.network, mode, options, job)


def _compile(network: nn.Module, mode: str, options: Mapping[str, Any], job: Job) -> Runner:
    """Compile with the options of a mode, as `torch.compile(mode=...)` sets them, and more.

    They are given twice. As those of `torch.compile` they tell one engine's code from another's: it would take what
    is compiled already where only the weights differ, and weights that are frozen are no longer looked at. While it
    compiles they hold for the whole process, because only there the part of the compiler looks that freezes weights.
    """
    from torch._dynamo import config as dynamo
    from torch._inductor import config, list_mode_options

    dynamo.recompile_limit = max(dynamo.recompile_limit, _MOST_VERSIONS)
    settings = {**list_mode_options(mode), **options}
    module = _prepared(network, torch.channels_last, job)
    runner = _TorchRunner(torch.compile(module, dynamic=False, options=settings), job.threads)
    with config.patch(settings):
        runner(torch.zeros(job.shape, device=job.device))  # compiles
    return runner


def back_end(name: str, options: Mapping[str, str], workload: Workload, job: Job) -> Runner:
    """Open the network in one of our back ends, as it is."""
    entry = backend(name)
    if job.precision not in entry.precisions(job.device):
        raise BackendError(f"{name} does not run {job.precision} on {job.device} on this machine")
    candidate = Candidate(name, (), options)
    return workload.builder.load(candidate, job, workload.builder.files(candidate, job, workload.scratch))


def onnxruntime(workload: Workload, job: Job) -> Runner:
    """Open the network in ONNX Runtime, on the processor or a GPU."""
    if job.device == "cpu":
        return back_end("onnxruntime", {}, workload, job)
    return onnxruntime_on_gpu("CUDAExecutionProvider", workload, job)


def onnxruntime_on_gpu(provider: onnxruntime_gpu.Provider, workload: Workload, job: Job) -> Runner:
    """Open the network in ONNX Runtime on a GPU: with its own kernels, or TensorRT behind it."""
    onnxruntime_gpu.check_provider(provider)
    name = f"onnx_{job.precision}_{job.batch_size}"  # the same file for every provider
    folder = built_once(workload.scratch / name, partial(onnxruntime_gpu.build_onnx, workload.classifier, job))
    return onnxruntime_gpu.load_onnx(folder, job, provider)


def timm(options: Mapping[str, Any] | None, workload: Workload, job: Job) -> Runner:
    """Open timm's own network with the same weights, channels last; compiled if there are options."""
    import timm

    from resnexus.weights.mapping import to_timm

    own = workload.classifier
    network = timm.create_model(TIMM[own.architecture.name], num_classes=own.num_classes, in_chans=own.in_chans)
    state = to_timm(own.architecture, own.state_dict())
    counters = {name: value for name, value in network.state_dict().items() if name.endswith("num_batches_tracked")}
    network.load_state_dict(state | counters)
    if options is not None:
        return _compile(network.eval(), DEFAULT, options, job)
    return _TorchRunner(_prepared(network.eval(), torch.channels_last, job), job.threads)


def paddle(workload: Workload, job: Job) -> Runner:
    """Open the network in Paddle Inference."""
    from resnexus.benchmark.peers.paddle_inference import build_paddle, load_paddle

    # The same files in every precision.
    return load_paddle(built_once(workload.scratch / "paddle", partial(build_paddle, workload.classifier, job)), job)


def resnexus(workload: Workload, job: Job) -> Runner:
    """Open what `accelerate` opens, with what was built for other precisions and batch sizes at hand."""
    chosen = workload.backends
    if chosen is not None:  # for all precisions together, and not every back end has every one
        chosen = [name for name in chosen if job.precision in backend(name).precisions(job.device)]
        if not chosen:
            raise BackendError(f"none of {', '.join(workload.backends or ())} runs {job.precision} on {job.device}")
    planner = Planner(
        workload.network,
        EngineCache(workload.cache_dir),
        backends=chosen,
        calibration=workload.calibration if job.precision == "int8" else None,
        seconds=workload.seconds,
        progress=workload.progress,
        scratch=workload.planned,
    )
    return accelerated.engine_of(workload.network, planner.open([job]))
