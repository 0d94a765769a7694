"""What can run a network: plain PyTorch and its compilers, other run-time libraries, timm, and ours; one row each.

Every engine gets the same network, as it is, and its best documented settings; `resnexus` alone gets to rewrite it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import torch

from resnexus.acceleration.backends.contract import Job, Precision, Runner
from resnexus.acceleration.backends.torch import COMPILED
from resnexus.benchmark.peers import onnxruntime_gpu, openers
from resnexus.benchmark.workload import Workload
from resnexus.errors import unknown
from resnexus.packages import is_installed


@dataclass(frozen=True, kw_only=True)
class EngineRow:
    """One way to run networks.

    Attributes:
        name: how records and the command line call it.
        what: in a few words, for a list.
        precisions: device -> what it computes in there.
        packages: what must be installed.
        quick: whether it opens a network in seconds; those that compile for minutes run only if asked for.
        networks: names of the architectures it can run; None for every one.
        maps: devices on which it returns feature maps; on others it is opened for logits alone.
        open: returns what runs the workload's network; raises BackendError if it cannot.
    """

    name: str
    what: str
    precisions: Mapping[str, tuple[Precision, ...]]
    packages: tuple[str, ...] = ()
    quick: bool = True
    networks: Mapping[str, str] | None = None
    maps: tuple[str, ...] = ("cpu", "cuda")
    open: Callable[[Workload, Job], Runner]

    def obstacle(self, architecture: str, device: str, precision: str, *, maps: bool = False) -> str:
        """Return why it cannot run an architecture in some precision on some device, or nothing if it can.

        Args:
            architecture: its name.
            device: `"cpu"` or `"cuda"`.
            precision: e.g. `"fp32"`.
            maps: whether feature maps are wanted, not logits.
        """
        if maps and device not in self.maps:
            return f"returns no feature maps on {device} here"
        if precision not in self.precisions.get(device, ()):
            return f"does not run {precision} on {device}"
        if self.networks is not None and architecture not in self.networks:
            return "has no network that computes the same"
        missing = self.missing()
        return f"not installed: {', '.join(missing)}" if missing else ""

    def missing(self) -> list[str]:
        """Return the packages that it needs and that are not installed."""
        return [package for package in self.packages if not is_installed(package)]


_TORCH: Mapping[str, tuple[Precision, ...]] = MappingProxyType(
    {"cpu": ("fp32", "bf16"), "cuda": ("fp32", "bf16", "fp16")}
)

_ROWS = (
    EngineRow(
        name="eager",
        what="PyTorch as it is",
        precisions=_TORCH,
        open=partial(openers.plain, torch.contiguous_format),
    ),
    EngineRow(
        name="channels_last",
        what="PyTorch, channels last",
        precisions=_TORCH,
        open=partial(openers.plain, torch.channels_last),
    ),
    EngineRow(
        name="compile",
        what="torch.compile",
        precisions=_TORCH,
        quick=False,
        open=partial(openers.compiled, openers.DEFAULT, {}),
    ),
    EngineRow(
        name="compile_frozen",
        what="torch.compile with frozen weights",
        precisions={"cpu": ("fp32", "bf16")},
        quick=False,
        open=partial(openers.compiled, openers.DEFAULT, openers.FROZEN),
    ),
    EngineRow(
        name="compile_reduce_overhead",
        what="torch.compile, mode='reduce-overhead': CUDA graphs",
        precisions={"cuda": ("fp32", "bf16", "fp16")},
        quick=False,
        open=partial(openers.compiled, "reduce-overhead", {}),
    ),
    EngineRow(
        name="compile_max_autotune",
        what="torch.compile, mode='max-autotune'; with frozen weights on the CPU",
        precisions=_TORCH,
        quick=False,
        open=partial(openers.compiled, "max-autotune", {**openers.FROZEN, **openers.SILENT}),
    ),
    EngineRow(
        name="aotinductor",
        what="torch.export and AOTInductor with frozen weights",
        precisions={"cpu": ("fp32", "bf16")},
        quick=False,
        open=partial(openers.back_end, "torch", {"mode": COMPILED}),
    ),
    EngineRow(
        name="onnxruntime",
        what="ONNX Runtime, every graph optimisation; CUDA graphs on a GPU",
        precisions={"cpu": ("fp32",), "cuda": onnxruntime_gpu.PRECISIONS["CUDAExecutionProvider"]},
        packages=("onnxruntime", "onnx", "onnxscript"),
        maps=("cpu",),
        open=openers.onnxruntime,
    ),
    EngineRow(
        name="tensorrt",
        what="TensorRT behind ONNX Runtime, with CUDA graphs",
        precisions={"cuda": onnxruntime_gpu.PRECISIONS["TensorrtExecutionProvider"]},
        packages=("onnxruntime", "onnx", "onnxscript", "tensorrt"),
        quick=False,
        maps=(),
        open=partial(openers.onnxruntime_on_gpu, "TensorrtExecutionProvider"),
    ),
    EngineRow(
        name="openvino",
        what="OpenVINO, set for latency; int8 with NNCF",
        precisions={"cpu": ("fp32", "bf16", "int8")},
        packages=("openvino",),
        open=partial(openers.back_end, "openvino", {}),
    ),
    EngineRow(
        name="paddle",
        what="Paddle Inference with oneDNN",
        precisions={"cpu": ("fp32", "bf16")},
        packages=("paddlepaddle",),
        maps=(),
        open=openers.paddle,
    ),
    EngineRow(
        name="timm",
        what="timm's own network with the same weights, channels last",
        precisions=_TORCH,
        packages=("timm",),
        networks=openers.TIMM,
        maps=(),
        open=partial(openers.timm, None),
    ),
    EngineRow(
        name="timm_frozen",
        what="timm's own network, torch.compile with frozen weights",
        precisions={"cpu": ("fp32", "bf16")},
        packages=("timm",),
        quick=False,
        networks=openers.TIMM,
        maps=(),
        open=partial(openers.timm, openers.FROZEN),
    ),
    EngineRow(
        name="resnexus",
        what="resnexus.accelerate",
        precisions={"cpu": ("fp32", "bf16", "int8"), "cuda": ("fp32", "bf16", "fp16")},
        open=openers.resnexus,
    ),
)

ENGINES = MappingProxyType({row.name: row for row in _ROWS})
OURS = "resnexus"


def engine(name: str) -> EngineRow:
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
