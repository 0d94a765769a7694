"""What can run a network: plain PyTorch and its compilers, other run-time libraries, timm, and ours; one row each.

Every engine gets the same network, as it is, and its best documented settings; `resnexus` alone gets to rewrite it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from resnexus.acceleration import engine as accelerated
from resnexus.acceleration.backends import BackendError, Candidate, Job, Precision, Runner, backend, is_installed
from resnexus.acceleration.cache import Cache
from resnexus.acceleration.exporting import Prepared
from resnexus.acceleration.planner import Planner
from resnexus.acceleration.torch_backend import COMPILED, using_threads
from resnexus.benchmark.latency import DTYPES
from resnexus.benchmark.subject import Subject
from resnexus.errors import unknown

# timm's names of the networks that it computes exactly as we do.
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


@dataclass(frozen=True, kw_only=True)
class Engine:
    """One way to run networks.

    Attributes:
        name: how records and the command line call it.
        what: in a few words, for a list.
        precisions: device -> what it computes in there.
        packages: what must be installed.
        quick: whether it opens a network in seconds; those that compile for minutes run only if asked for.
        networks: names of the networks it can run; None for every one.
        open: returns what runs the subject's network; raises BackendError if it cannot.
    """

    name: str
    what: str
    precisions: Mapping[str, tuple[Precision, ...]]
    packages: tuple[str, ...] = ()
    quick: bool = True
    networks: Mapping[str, str] | None = None
    open: Callable[[Subject, Job], Runner]

    def obstacle(self, model: str, device: str, precision: str) -> str:
        """Return why it cannot run a network in some precision on some device, or nothing if it can."""
        if precision not in self.precisions.get(device, ()):
            return f"does not run {precision} on {device}"
        if self.networks is not None and model not in self.networks:
            return "has no network that computes the same"
        missing = self.missing()
        return f"not installed: {', '.join(missing)}" if missing else ""

    def missing(self) -> list[str]:
        """Return the packages that it needs and that are not installed."""
        return [package for package in self.packages if not is_installed(package)]


class _TorchRunner:
    """A module behind float32 images and logits."""

    def __init__(self, module: Callable[[Tensor], Tensor], threads: int) -> None:
        self.module, self.threads = module, threads

    def __call__(self, images: Tensor) -> Tensor:
        with torch.inference_mode(), using_threads(self.threads):
            return self.module(images)


def _torch(memory_format: torch.memory_format, subject: Subject, job: Job) -> Runner:
    return _TorchRunner(_prepared(subject.network, memory_format, job), job.threads)


def _prepared(network: nn.Module, memory_format: torch.memory_format, job: Job) -> nn.Module:
    dtype = DTYPES[job.precision]
    own = deepcopy(network).requires_grad_(False).to(job.device, dtype)
    return Prepared(own.to(memory_format=memory_format), dtype, memory_format).eval()


_DEFAULT = "default"
_FROZEN = {"freezing": True}
_SILENT = {"autotune_num_choices_displayed": 0, "max_autotune_report_choices_stats": False}

# Every network that is compiled is one more version of the same code to the compiler.
_MOST_VERSIONS = 256


def _compiled(mode: str, options: Mapping[str, Any], subject: Subject, job: Job) -> Runner:
    return _compile(subject.network, mode, options, job)


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


def _backend(name: str, options: Mapping[str, str], subject: Subject, job: Job) -> Runner:
    entry = backend(name)
    if job.precision not in entry.precisions(job.device):
        raise BackendError(f"{name} does not run {job.precision} on {job.device} on this machine")
    candidate = Candidate(name, (), options)
    return subject.builder.load(candidate, job, subject.builder.files(candidate, job, subject.scratch))


def _timm(options: Mapping[str, Any] | None, subject: Subject, job: Job) -> Runner:
    import timm

    from resnexus.weights.mapping import to_timm

    network = timm.create_model(TIMM[subject.network.architecture.name], num_classes=subject.network.num_classes)
    state = to_timm(subject.network.architecture, subject.network.state_dict())
    counters = {name: value for name, value in network.state_dict().items() if name.endswith("num_batches_tracked")}
    network.load_state_dict(state | counters)
    if options is not None:
        return _compile(network.eval(), _DEFAULT, options, job)
    return _TorchRunner(_prepared(network.eval(), torch.channels_last, job), job.threads)


def _paddle(subject: Subject, job: Job) -> Runner:
    from resnexus.benchmark.paddle_inference import build_paddle, load_paddle

    folder = subject.scratch / "paddle"  # the same files in every precision
    if not folder.exists():
        folder.mkdir()
        build_paddle(subject.network, job, folder)
    return load_paddle(folder, job)


def _resnexus(subject: Subject, job: Job) -> Runner:
    """Open what `accelerate` opens, with what was built for other precisions and batch sizes at hand."""
    chosen = subject.backends
    if chosen is not None:  # for all precisions together, and not every back end has every one
        chosen = [name for name in chosen if job.precision in backend(name).precisions(job.device)]
    planner = Planner(
        subject.network,
        Cache(subject.cache_dir),
        backends=chosen,
        calibration=subject.calibration if job.precision == "int8" else None,
        seconds=subject.seconds,
        progress=subject.progress,
        scratch=subject.planned,
    )
    return accelerated.Engine(planner.open([job]), subject.network.num_classes)


_TORCH: Mapping[str, tuple[Precision, ...]] = MappingProxyType(
    {"cpu": ("fp32", "bf16"), "cuda": ("fp32", "bf16", "fp16")}
)

_ROWS = (
    Engine(
        name="eager",
        what="PyTorch as it is",
        precisions=_TORCH,
        open=partial(_torch, torch.contiguous_format),
    ),
    Engine(
        name="channels_last",
        what="PyTorch, channels last",
        precisions=_TORCH,
        open=partial(_torch, torch.channels_last),
    ),
    Engine(
        name="compile",
        what="torch.compile",
        precisions=_TORCH,
        quick=False,
        open=partial(_compiled, _DEFAULT, {}),
    ),
    Engine(
        name="compile_frozen",
        what="torch.compile with frozen weights",
        precisions={"cpu": ("fp32", "bf16")},
        quick=False,
        open=partial(_compiled, _DEFAULT, _FROZEN),
    ),
    Engine(
        name="compile_reduce_overhead",
        what="torch.compile, mode='reduce-overhead': CUDA graphs",
        precisions={"cuda": ("fp32", "bf16", "fp16")},
        quick=False,
        open=partial(_compiled, "reduce-overhead", {}),
    ),
    Engine(
        name="compile_max_autotune",
        what="torch.compile, mode='max-autotune'; with frozen weights on the CPU",
        precisions=_TORCH,
        quick=False,
        open=partial(_compiled, "max-autotune", {**_FROZEN, **_SILENT}),
    ),
    Engine(
        name="aotinductor",
        what="torch.export and AOTInductor with frozen weights",
        precisions={"cpu": ("fp32", "bf16")},
        quick=False,
        open=partial(_backend, "torch", {"mode": COMPILED}),
    ),
    Engine(
        name="onnxruntime",
        what="ONNX Runtime, every graph optimisation",
        precisions={"cpu": ("fp32",)},
        packages=("onnxruntime", "onnx", "onnxscript"),
        open=partial(_backend, "onnxruntime", {}),
    ),
    Engine(
        name="openvino",
        what="OpenVINO, set for latency; int8 with NNCF",
        precisions={"cpu": ("fp32", "bf16", "int8")},
        packages=("openvino",),
        open=partial(_backend, "openvino", {}),
    ),
    Engine(
        name="paddle",
        what="Paddle Inference with oneDNN",
        precisions={"cpu": ("fp32", "bf16")},
        packages=("paddlepaddle",),
        open=_paddle,
    ),
    Engine(
        name="timm",
        what="timm's own network with the same weights, channels last",
        precisions=_TORCH,
        packages=("timm",),
        networks=TIMM,
        open=partial(_timm, None),
    ),
    Engine(
        name="timm_frozen",
        what="timm's own network, torch.compile with frozen weights",
        precisions={"cpu": ("fp32", "bf16")},
        packages=("timm",),
        quick=False,
        networks=TIMM,
        open=partial(_timm, _FROZEN),
    ),
    Engine(
        name="resnexus",
        what="resnexus.accelerate",
        precisions={"cpu": ("fp32", "bf16", "int8")},
        open=_resnexus,
    ),
)

ENGINES = MappingProxyType({row.name: row for row in _ROWS})
OURS = "resnexus"


def engine(name: str) -> Engine:
    """Return the engine called `name`.

    Raises:
        ResnexusError: no engine is called that.
    """
    if name not in ENGINES:
        raise unknown("engine", name, ENGINES)
    return ENGINES[name]


def quick_engines() -> tuple[str, ...]:
    """Return the engines that open a network in seconds and whose packages are installed."""
    return tuple(row.name for row in _ROWS if row.quick and not row.missing())
