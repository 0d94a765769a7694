"""Our own kernels on the CPU, float32."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, final

from torch import Tensor

from resnexus.acceleration.backends.contract import Backend, BackendError, Job, Precision, Runner, check_options
from resnexus.acceleration.lowering.lower import lower
from resnexus.acceleration.native.calls import KernelCalls
from resnexus.acceleration.native.compiler import (
    compiler_version,
    find_compiler,
    library,
    library_key,
    no_compiler,
    sources_digest,
)
from resnexus.acceleration.native.placement import place
from resnexus.acceleration.native.program import Program, write_program
from resnexus.architectures.network import FeatureNetwork, Network
from resnexus.machine import processor

DIRECT = "direct"
_KERNELS = "kernels.txt"

_log = logging.getLogger("resnexus")


@final
class NativeBackend(Backend):
    """Option `products`: `"direct"` for convolutions that save no multiplications; by default they do where it pays.

    The compiled kernels lie in one place for all networks of a user, `compiler.libraries`, and a built network names
    those that it was built for. Plans count the C++ compiler among the versions, so it must also be there where what it
    built is opened.

    The logits of an image are the same to the last bit wherever in a batch it is and whatever else is in it, and for
    any number of threads that leaves the number of images that run together as it is.
    """

    name = "native"
    packages = ("numpy",)

    def precisions(self, device: str) -> tuple[Precision, ...]:
        """float32 on a CPU with AVX-512, on a system that has a C++ compiler.

        The kernels are right on any other processor, and slow: their tiles fill the registers of AVX-512.
        """
        if device != "cpu" or "avx512f" not in processor().split():
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
        self,
        network: Network | FeatureNetwork,
        job: Job,
        options: Mapping[str, str],
        folder: Path,
        calibration: Tensor | None,
    ) -> None:
        """Write the calls of the kernels, the weights in their order, and the name of the compiled kernels."""
        check_options(self.name, options, {"products": ("fast", DIRECT)})
        library()  # first: without it all else is in vain
        calls = KernelCalls(fast=options.get("products") != DIRECT)
        images = place(lower(network), replace(job, batch_size=job.batch_size // _parts(job)), calls)
        write_program(calls, images, folder)
        (folder / _KERNELS).write_text(library_key(), encoding="utf-8")

    def built_for(self, job: Job, options: Mapping[str, str]) -> dict[str, Any]:
        """Images that run together, and which algorithm each convolution gets."""
        return {"together": job.batch_size // _parts(job), "products": options.get("products", "fast")}

    def load(self, folder: Path, job: Job, options: Mapping[str, str]) -> Runner:
        """Load the kernels, which are compiled first if they are gone, and read their calls.

        Raises:
            BackendError: the files are damaged or for other kernels, or there is no compiler, or it fails.
        """
        if _named(folder / _KERNELS) != library_key():
            raise BackendError(f"the network in {folder} was built for other kernels than those here: build it again")
        return Program(folder, library(), job.threads, _parts(job))


@cache
def _log_missing_compiler() -> None:
    _log.warning("our own kernels, often the fastest in fp32 here, are left out: %s", no_compiler())


def _named(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BackendError(f"{file}, which names the kernels of a built network, cannot be read: {error}") from error


def _parts(job: Job) -> int:
    """Return into how many parts a batch is cut: one for each thread where that is possible.

    Threads that share an image exchange activations, which is slow between cores that have no cache in common.
    """
    return job.threads if job.batch_size % job.threads == 0 else 1


BACKEND = NativeBackend()
