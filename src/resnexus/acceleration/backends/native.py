"""Our own kernels on the CPU, float32."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, final

from torch import Tensor

from resnexus.acceleration.backends.contract import Backend, Job, Precision, Runner
from resnexus.acceleration.native.compiler import (
    LIBRARY,
    compiler_version,
    find_compiler,
    no_compiler,
    sources_digest,
    write_library,
)
from resnexus.acceleration.native.layers import Layers
from resnexus.acceleration.native.lowering import lower
from resnexus.acceleration.native.program import Program, write_program
from resnexus.architectures.network import Network
from resnexus.machine import processor

DIRECT = "direct"

_log = logging.getLogger("resnexus")


@final
class NativeBackend(Backend):
    """Option `products`: `"direct"` for convolutions that save no multiplications; by default they do where it pays.

    Plans count the C++ compiler among the versions, so it must also be there where what it built is opened. Logits
    repeat to the last bit for one number of threads; another may pair other pixels in Strassen's products and round
    differently.
    """

    name = "native"
    packages = ("numpy",)

    def precisions(self, device: str) -> tuple[Precision, ...]:
        """float32 on a CPU with AVX-512, on a Unix system that has a C++ compiler.

        The kernels are right on any other processor, and slow: their tiles fill the registers of AVX-512.
        """
        if device != "cpu" or sys.platform == "win32" or "avx512f" not in processor().split():
            return ()
        if find_compiler() is None:
            _log_missing_compiler()
            return ()
        return ("fp32",)

    def versions(self, precision: Precision) -> dict[str, str]:
        """Return what the kernels are and what compiles them, too."""
        compiler = find_compiler()
        found = super().versions(precision) | {"kernels": sources_digest()}
        return found | ({"compiler": compiler_version(compiler)} if compiler else {})

    def build(
        self, network: Network, job: Job, options: Mapping[str, str], folder: Path, calibration: Tensor | None
    ) -> None:
        """Write the layers, their weights in the order of the kernels, and the compiled kernels."""
        layers = Layers(fast=options.get("products") != DIRECT)
        images, logits = lower(network, replace(job, batch_size=job.batch_size // _parts(job)), layers)
        write_program(layers.layers, images, logits, folder)
        write_library(folder)

    def built_for(self, job: Job, options: Mapping[str, str]) -> dict[str, Any]:
        """Images that run together, and which algorithm each convolution gets."""
        return {"together": job.batch_size // _parts(job), "products": options.get("products", "fast")}

    def load(self, folder: Path, job: Job, options: Mapping[str, str]) -> Runner:
        """Read the layers and load the kernels."""
        return Program(folder, folder / LIBRARY, job.threads, _parts(job))


@cache
def _log_missing_compiler() -> None:
    _log.warning("our own kernels, often the fastest in fp32 here, are left out: %s", no_compiler())


def _parts(job: Job) -> int:
    """Return into how many parts a batch is cut: one for each thread where that is possible.

    Threads that share an image exchange activations, which is slow between cores that have no cache in common.
    """
    return job.threads if job.batch_size % job.threads == 0 else 1


BACKEND = NativeBackend()
