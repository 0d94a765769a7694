"""What every back end offers: it builds a network into files, and runs those files on batches of one size."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol, get_args

import torch
from torch import Tensor

from resnexus.architectures.network import Network
from resnexus.errors import ResnexusError, unknown

Precision = Literal["fp32", "bf16", "fp16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

DTYPES: Mapping[str, torch.dtype] = MappingProxyType(
    {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
)
"""The precisions that PyTorch computes in as a whole."""


class BackendError(ResnexusError):
    """A back end that is not installed or cannot do what it was asked for."""


class OutOfMemoryError(ResnexusError):
    """A batch that does not fit in memory."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is to be run: everything that a plan depends on, except the network and the machine.

    Attributes:
        batch_size: images per call.
        in_chans: channels of an image.
        image_size: (height, width) in pixels.
        precision: `"fp32"`, `"bf16"`, `"fp16"`, or `"int8"` for weights and activations of the convolutions.
        device: where it runs.
        threads: CPU threads.
    """

    batch_size: int
    in_chans: int = 3
    image_size: tuple[int, int] = (224, 224)
    precision: Precision = "fp32"
    device: str = "cpu"
    threads: int = 1

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(batch_size, in_chans, height, width)."""
        return (self.batch_size, self.in_chans, *self.image_size)


@dataclass(frozen=True)
class Candidate:
    """One way to run a network: a back end, the rewrites it gets, and the back end's own options."""

    backend: str
    rewrites: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        options = ", ".join(f"{key}={value}" for key, value in self.options.items())
        return f"{self.backend}({options}) on {' + '.join(self.rewrites) or 'the network as it is'}"

    def __hash__(self) -> int:
        return hash((self.backend, self.rewrites, tuple(self.options.items())))


class Runner(Protocol):
    """A network that is ready to run."""

    def __call__(self, images: Tensor, /) -> Tensor:
        """Return logits (batch_size, classes) float32 for contiguous images (batch_size, C, H, W) float32.

        Returns when they are computed; they are the caller's own. Not for several threads at once.
        """
        ...


class Backend(ABC):
    """Something that runs networks.

    Attributes:
        name: how plans call it.
        packages: what must be installed; those that are optional are in the extra `export`.
        more_packages: what a precision needs besides.
    """

    name: str
    packages: tuple[str, ...]
    more_packages: Mapping[Precision, tuple[str, ...]] = MappingProxyType({})

    @abstractmethod
    def precisions(self, device: str) -> tuple[Precision, ...]:
        """Return what it can compute in on this machine, once `needs` is installed."""

    @abstractmethod
    def build(
        self, network: Network, job: Job, options: Mapping[str, str], folder: Path, calibration: Tensor | None
    ) -> None:
        """Write what `load` needs into an empty folder.

        Args:
            network: float32, in evaluation mode, rewritten already; left as it is.
            job: what it is for.
            options: of the candidate.
            folder: exists and is empty.
            calibration: (K, C, H, W) float32 images, for int8.
        """

    @abstractmethod
    def load(self, folder: Path, job: Job, options: Mapping[str, str]) -> Runner:
        """Return a runner for files that `build` wrote for the same job and options, as far as they depend on them."""

    @abstractmethod
    def built_for(self, job: Job, options: Mapping[str, str]) -> dict[str, Any]:
        """Return what the files depend on besides the network and the sizes of an image.

        Jobs and options for which it is the same share their files; all else matters to `load` alone.
        """

    def needs(self, precision: Precision) -> tuple[str, ...]:
        """Return the packages that a precision needs."""
        return (*self.packages, *self.more_packages.get(precision, ()))

    def versions(self, precision: Precision) -> dict[str, str]:
        """Return package -> version of what a precision needs.

        Raises:
            BackendError: a package is not installed.
        """
        return {package: installed_version(package) for package in self.needs(precision)}

    def is_usable(self, device: str, precision: Precision) -> bool:
        """Whether it is installed and computes in a precision on a device of this machine."""
        return not self.missing(precision) and precision in self.precisions(device)

    def missing(self, precision: Precision) -> list[str]:
        """Return the packages that a precision needs and that are not installed."""
        return [package for package in self.needs(precision) if not is_installed(package)]


_NO_MEMORY = re.compile(r"allocate memory|out of memory|bad[_ ]alloc|not enough memory", re.IGNORECASE)


@contextmanager
def memory_errors(job: Job) -> Iterator[None]:
    """Turn a failed allocation, which every library words its own way, into one error.

    Raises:
        OutOfMemoryError: the block ran out of memory.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not _NO_MEMORY.search(str(error)):
            raise
        raise OutOfMemoryError(
            f"not enough memory for {job.batch_size} images of {job.image_size[0]}x{job.image_size[1]} in "
            f"{job.precision} on {job.device}: use a smaller batch or smaller images"
        ) from error


# Where each lives; imported on use, because each needs a package that may be missing.
_HOMES = {
    "native": "resnexus.acceleration.native_backend",
    "torch": "resnexus.acceleration.torch_backend",
    "openvino": "resnexus.acceleration.openvino_backend",
    "onnxruntime": "resnexus.acceleration.onnxruntime_backend",
}
BACKENDS = tuple(_HOMES)


def backend(name: str) -> Backend:
    """Return the back end called `name`, installed or not.

    Raises:
        ResnexusError: no back end is called that.
    """
    if name not in _HOMES:
        raise unknown("back end", name, _HOMES)
    found: Backend = import_module(_HOMES[name]).BACKEND
    return found


def usable_backends(device: str, precision: Precision, names: Iterable[str] | None = None) -> list[Backend]:
    """Return the back ends that run `precision` on `device` here.

    Args:
        device: e.g. `"cpu"`.
        precision: what to compute in.
        names: the back ends to consider, each of which must then be usable; all that are installed if None.

    Raises:
        BackendError: one of `names` is not installed or cannot run it, or no back end at all can.
    """
    if names is not None:
        chosen = [backend(name) for name in names]
        for entry in chosen:
            _check_installed(entry, precision)
            if precision not in entry.precisions(device):
                raise BackendError(f"back end {entry.name!r} does not run {precision} on {device} on this machine")
        if not chosen:
            raise BackendError(f"backends=(): name at least one of {', '.join(BACKENDS)}")
        return chosen
    everything = [backend(name) for name in BACKENDS]
    found = [entry for entry in everything if entry.is_usable(device, precision)]
    if not found:
        absent = sorted({package for entry in everything for package in entry.missing(precision)})
        fix = f"; not installed: {', '.join(absent)} (pip install 'resnexus[export]')" if absent else ""
        raise BackendError(f"no back end here runs {precision} on {device}{fix}")
    return found


DISTRIBUTIONS = MappingProxyType(
    {
        "onnxruntime": ("onnxruntime-gpu", "onnxruntime"),
        "tensorrt": ("tensorrt", "tensorrt-cu13", "tensorrt-cu12"),
    }
)
"""Packages that are installed under one of several names; the first that is there counts."""


def required(package: str) -> Any:
    """Import an optional package.

    Raises:
        BackendError: it is not installed; the message names the extra.
    """
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise BackendError(f"{package} is not installed: pip install 'resnexus[export]'") from error


def installed_version(package: str) -> str:
    """Return the version of an installed package.

    Raises:
        BackendError: it is not installed; the message names the extra.
    """
    for name in DISTRIBUTIONS.get(package, (package,)):
        with suppress(PackageNotFoundError):
            return version(name)
    raise BackendError(f"{package} is not installed: pip install 'resnexus[export]'")


def is_installed(package: str) -> bool:
    """Whether a package is installed, under any of the names that it comes under."""
    try:
        installed_version(package)
    except BackendError:
        return False
    return True


def _check_installed(entry: Backend, precision: Precision) -> None:
    missing = entry.missing(precision)
    if missing:
        raise BackendError(
            f"back end {entry.name!r} needs {', '.join(missing)} for {precision}, not installed: "
            "pip install 'resnexus[export]'"
        )
