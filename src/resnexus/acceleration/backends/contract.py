"""What every back end offers: it builds a network into files, and runs those files on batches of one size."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol, get_args

import torch
from torch import Tensor

from resnexus.architectures.network import FeatureNetwork, Network
from resnexus.errors import ResnexusError
from resnexus.packages import installed_version, is_installed

Precision = Literal["fp32", "bf16", "fp16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

DTYPES: Mapping[str, torch.dtype] = MappingProxyType(
    {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
)
"""The precisions that PyTorch computes in as a whole."""


Output = Tensor | list[Tensor]
"""What a network returns: (N, classes) logits, or the feature maps that it was built for, in their order."""


class BackendError(ResnexusError):
    """A back end that is not installed or cannot do what it was asked for."""


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


def check_options(
    backend: str,
    options: Mapping[str, str],
    accepted: Mapping[str, Collection[str] | re.Pattern[str]],
    required: Collection[str] = (),
) -> None:
    """Refuse options that a back end does not know.

    Args:
        backend: its name.
        options: of a candidate.
        accepted: option -> the values it may have, or a pattern of them.
        required: options that must be there.

    Raises:
        BackendError: an unknown or missing option, or a value that is not accepted; names what is.
    """
    for name in required:
        if name not in options:
            raise BackendError(f"back end {backend!r} needs the option {name!r}: one of {_listed(accepted[name])}")
    for name, value in options.items():
        if name not in accepted:
            raise BackendError(f"back end {backend!r} has no option {name!r}: accepted are {_listed(accepted)}")
        values = accepted[name]
        if not (values.fullmatch(value) if isinstance(values, re.Pattern) else value in values):
            raise BackendError(f"back end {backend!r}: {name}={value!r}: expected {_listed(values)}")


def _listed(values: Collection[str] | re.Pattern[str]) -> str:
    return f"what matches {values.pattern}" if isinstance(values, re.Pattern) else ", ".join(values)


class Runner(Protocol):
    """A network that is ready to run."""

    def __call__(self, images: Tensor, /) -> Output:
        """Return logits, or a list of feature maps, float32, for contiguous images (batch_size, C, H, W) float32.

        Returns when they are computed, or on a GPU when that is queued on the current stream. They are the caller's
        own, and where the images are. Not for several threads at once.
        """
        ...


def as_output(tensors: Sequence[Tensor]) -> Output:
    """Return the results of a library as the network returns them: logits, which have two axes, come alone."""
    return tensors[0] if tensors[0].ndim == 2 else list(tensors)


def mapped(function: Callable[[Tensor], Tensor], output: Output) -> Output:
    """Return logits, or every map, changed by a function."""
    return function(output) if isinstance(output, Tensor) else [function(part) for part in output]


def joined(outputs: Sequence[Output]) -> Output:
    """Return the outputs of consecutive parts of a batch as that of the batch."""
    first = outputs[0]
    if len(outputs) == 1:
        return first
    if isinstance(first, Tensor):
        return torch.cat([output for output in outputs if isinstance(output, Tensor)])
    return [torch.cat(parts) for parts in zip(*outputs, strict=True)]


class Backend(ABC):
    """Something that runs networks.

    Attributes:
        name: how plans call it.
        packages: what must be installed; those see `resnexus.packages`.
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
        self,
        network: Network | FeatureNetwork,
        job: Job,
        options: Mapping[str, str],
        folder: Path,
        calibration: Tensor | None,
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
            MissingPackageError: a package is not installed.
        """
        return {package: installed_version(package) for package in self.needs(precision)}

    def is_usable(self, device: str, precision: Precision) -> bool:
        """Whether it is installed and computes in a precision on a device of this machine."""
        return not self.missing(precision) and precision in self.precisions(device)

    def missing(self, precision: Precision) -> list[str]:
        """Return the packages that a precision needs and that are not installed."""
        return [package for package in self.needs(precision) if not is_installed(package)]
