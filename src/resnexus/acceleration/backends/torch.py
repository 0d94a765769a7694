"""PyTorch itself: as it is, with channels last, or compiled ahead of time with frozen weights."""

from __future__ import annotations

import io
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn

from resnexus.acceleration.backends.contract import (
    DTYPES,
    Backend,
    BackendError,
    Job,
    Output,
    Precision,
    Runner,
    check_options,
    mapped,
)
from resnexus.acceleration.backends.exporting import Prepared, exported
from resnexus.acceleration.cuda.device import exact_on
from resnexus.architectures.network import FeatureNetwork, Network
from resnexus.rewrites.folding import cast

PLAIN, EAGER, COMPILED = _MODES = "plain", "eager", "compiled"
_PROGRAM, _PACKAGE = "program.pt2", "compiled.pt2"


@final
class TorchBackend(Backend):
    """Option `mode`: `"plain"` (contiguous, always float32), `"eager"` (channels last) or `"compiled"`.

    Compiled means AOTInductor with frozen weights: they are prepacked for oneDNN, and the file loads in a moment. On a
    GPU float32 keeps all its bits, as in our engine: no TF32.
    """

    name = "torch"
    packages = ("torch",)

    def precisions(self, device: str) -> tuple[Precision, ...]:
        """float32 and bfloat16 on the CPU; on a GPU float16, too."""
        if device == "cuda":
            return ("fp32", "bf16", "fp16") if torch.cuda.is_available() else ()
        return ("fp32", "bf16") if device == "cpu" else ()

    def build(
        self,
        network: Network | FeatureNetwork,
        job: Job,
        options: Mapping[str, str],
        folder: Path,
        calibration: Tensor | None,
    ) -> None:
        """Write an exported program, or a compiled package."""
        mode = _mode(options)
        _check_device(mode, job)
        module: nn.Module = network
        if mode != PLAIN:
            dtype = DTYPES[job.precision]
            module = Prepared(cast(network, dtype), dtype, torch.channels_last).eval()
        program = exported(module, job, any_batch=mode != COMPILED)
        archive = io.BytesIO()  # PyTorch's own writer of files ends the process where the disk is full
        if mode != COMPILED:
            torch.export.save(program, archive)
            (folder / _PROGRAM).write_bytes(archive.getbuffer())
            return
        from torch._inductor import aoti_compile_and_package

        # The number of threads is compiled in.
        with torch.no_grad(), using_threads(job.threads), compiling_in(folder.parent):
            aoti_compile_and_package(program, package_path=archive, inductor_configs={"freezing": True})
        (folder / _PACKAGE).write_bytes(archive.getbuffer())

    def built_for(self, job: Job, options: Mapping[str, str]) -> dict[str, Any]:
        """A compiled package serves one batch size and number of threads; programs serve any."""
        mode = _mode(options)
        kept = {"mode": mode, "precision": "fp32" if mode == PLAIN else job.precision}
        return kept | ({"batch_size": job.batch_size, "threads": job.threads} if mode == COMPILED else {})

    def load(self, folder: Path, job: Job, options: Mapping[str, str]) -> Runner:
        """Return the program or the compiled package."""
        mode = _mode(options)
        _check_device(mode, job)
        if mode == COMPILED:
            from torch._inductor import aoti_load_package

            return _Runner(aoti_load_package(str(folder / _PACKAGE)), job.threads, "cpu")
        program = torch.export.load(folder / _PROGRAM)
        if job.device != "cpu":
            from torch.export.passes import move_to_device_pass

            program = move_to_device_pass(program, job.device)
        module = program.module()
        if mode == EAGER:
            module = module.to(memory_format=torch.channels_last)
        # Half precision has no products to keep from TF32, and is spared what that costs in every call.
        return _Runner(module, job.threads, job.device if mode == PLAIN or job.precision == "fp32" else "cpu")


def _mode(options: Mapping[str, str]) -> str:
    check_options("torch", options, {"mode": _MODES}, required=("mode",))
    return options["mode"]


def _check_device(mode: str, job: Job) -> None:
    if mode == COMPILED and job.device != "cpu":
        raise BackendError(f"mode='compiled' is for the CPU, not {job.device}: take 'eager', or back end 'cuda'")


@final
class _Runner:
    def __init__(self, module: object, threads: int, exact_on: str) -> None:
        if not callable(module):
            raise TypeError(f"expected something to call, found {type(module).__name__}")
        self.module, self.threads, self.exact_on = module, threads, exact_on

    def __call__(self, images: Tensor) -> Output:
        with torch.inference_mode(), exact_on(self.exact_on), using_threads(self.threads):
            output: Output = self.module(images)
        return mapped(torch.clone, output)  # tensors like any other, which those made in inference mode are not


_process_lock = threading.RLock()
_COMPILER_CACHE = "TORCHINDUCTOR_CACHE_DIR"


@contextmanager
def compiling_in(folder: Path) -> Iterator[None]:
    """Give the compiler a folder of its own, removed afterwards: it would keep the weights of every network."""
    with _process_lock, tempfile.TemporaryDirectory(prefix="compiling-", dir=folder) as cache:
        before = os.environ.get(_COMPILER_CACHE)
        os.environ[_COMPILER_CACHE] = cache
        try:
            yield
        finally:
            if before is None:
                del os.environ[_COMPILER_CACHE]
            else:
                os.environ[_COMPILER_CACHE] = before


@contextmanager
def using_threads(count: int) -> Iterator[None]:
    """Let PyTorch use `count` CPU threads meanwhile; the setting belongs to the whole process."""
    with _process_lock:  # so that what is read is not what another thread has set for a while
        before = torch.get_num_threads()
        if count != before:
            torch.set_num_threads(count)
            try:
                yield
            finally:
                torch.set_num_threads(before)
            return
    yield


BACKEND = TorchBackend()
