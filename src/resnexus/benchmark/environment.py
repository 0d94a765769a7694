"""What machine and which versions a figure was measured on."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import chain

import torch

from resnexus.benchmark.ranges import positive, whole
from resnexus.errors import ResnexusError
from resnexus.machine import processor_name, usable_cores
from resnexus.packages import distributions

PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "timm",
    "onnxruntime",
    "tensorrt",
    "openvino",
    "nncf",
    "paddlepaddle",
    "triton",
    "lightning",
)


@dataclass(frozen=True, kw_only=True)
class Environment:
    """The conditions of a measurement.

    Attributes:
        date: UTC, ISO 8601 to the second.
        cpu: model name of the processor.
        cores: processors this process may use.
        threads: threads that PyTorch uses inside one operation.
        memory_gib: memory of the machine, or None where the system does not say.
        gpu: name of the first CUDA device, or None.
        system: operating system and its version.
        python: version.
        packages: name -> version of the installed packages that matter for speed.
    """

    date: str
    cpu: str
    cores: int
    threads: int
    memory_gib: float | None
    gpu: str | None
    system: str
    python: str
    packages: dict[str, str]

    def __post_init__(self) -> None:
        whole(cores=self.cores, threads=self.threads)
        if self.memory_gib is not None:
            positive(memory_gib=self.memory_gib)
        try:
            datetime.fromisoformat(self.date)
        except ValueError:
            raise ResnexusError(f"date={self.date!r}: expected ISO 8601, such as 2026-01-02T03:04:05+00:00") from None


def environment() -> Environment:
    """Describe this process's machine and versions as they are now."""
    return Environment(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        cpu=processor_name(),
        cores=usable_cores(),
        threads=torch.get_num_threads(),
        memory_gib=_memory_gib(),
        gpu=torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        packages=_versions(("resnexus", *PACKAGES)),
    )


def _versions(names: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for name in chain.from_iterable(map(distributions, names)):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _memory_gib() -> float | None:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)
