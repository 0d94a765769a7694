"""Our engine for GPUs: fused library calls and kernels of our own, in one CUDA graph for each batch size."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

from torch import Tensor

from resnexus.acceleration.backends.contract import (
    DTYPES,
    Backend,
    BackendError,
    Job,
    Precision,
    Runner,
    check_options,
)
from resnexus.acceleration.backends.memory import OutOfMemoryError
from resnexus.acceleration.cuda.arrange import arrange
from resnexus.acceleration.cuda.choosing import KERNELS, Chosen, measured, unmeasured
from resnexus.acceleration.cuda.device import check_gpu, free_bytes, has_gpu
from resnexus.acceleration.cuda.files import read_choices, read_steps, write_choices, write_network
from resnexus.acceleration.cuda.our_ways import have_kernels
from resnexus.acceleration.cuda.runner import GraphRunner, needed_bytes, resident
from resnexus.acceleration.cuda.steps import ProgramRecord
from resnexus.acceleration.cuda.tuning import Tuner, on_the_device, read_table, setting, table_file, write_table
from resnexus.acceleration.lowering.lower import lower
from resnexus.architectures.network import FeatureNetwork, Network
from resnexus.packages import installed_version, is_installed

LIBRARY, OURS, MEASURED = KERNELS

TUNING_S = 30.0
"""Seconds of measuring steps, for one network and batch size; what other networks measured is not measured again."""


@final
class CudaBackend(Backend):
    """Option `kernels`: `"library"` (cuDNN and cuBLASLt alone), `"ours"` or `"measured"`.

    With `"ours"` our kernels do what they do in one pass over memory (pools, gates, the head, the parts of Res2
    blocks). With `"measured"` every step goes the way that was the fastest on this GPU at this batch size, with the
    settings of its kernel that were.

    Engines of a process that were built from the same weights share them on the device, and take turns.
    """

    name = "cuda"
    packages = ("torch",)

    def precisions(self, device: str) -> tuple[Precision, ...]:
        """float32 without TF32, bfloat16 and float16, on an NVIDIA GPU."""
        return ("fp32", "bf16", "fp16") if device == "cuda" and has_gpu() else ()

    def versions(self, precision: Precision) -> dict[str, str]:
        """Return what compiles our kernels, too."""
        return super().versions(precision) | ({"triton": installed_version("triton")} if is_installed("triton") else {})

    def build(
        self,
        network: Network | FeatureNetwork,
        job: Job,
        options: Mapping[str, str],
        folder: Path,
        calibration: Tensor | None,
    ) -> None:
        """Write the steps and the weights; and which way each step goes, where that is to be measured."""
        kernels = _kernels(options)
        _check_here(job, kernels)
        record = write_network(arrange(lower(network), DTYPES[job.precision]), folder)
        if kernels == MEASURED:
            write_choices(_tuned(record, folder, job), folder)

    def built_for(self, job: Job, options: Mapping[str, str]) -> dict[str, Any]:
        """Steps and weights serve any batch size; what was measured serves one."""
        kept: dict[str, Any] = {"precision": job.precision}
        return kept | ({"measured_for": job.batch_size} if _kernels(options) == MEASURED else {})

    def load(self, folder: Path, job: Job, options: Mapping[str, str]) -> Runner:
        """Put the weights on the device, where they are not there yet, and capture the steps at the job's batch size.

        Raises:
            BackendError: the files are damaged, or our kernels are wanted and cannot run here.
            ResnexusError: there is no GPU, or not enough memory on it.
        """
        kernels = _kernels(options)
        _check_here(job, kernels)
        record = read_steps(folder)
        if job.device == "cuda":
            check_room(needed_bytes(record, job), job, free_bytes())
        record, ways = _ways(record, kernels, job, folder)
        return GraphRunner(record, ways, job, resident(record, folder, job))


def check_room(needed: int, job: Job, free: int) -> None:
    """Refuse what cannot fit, before anything is captured.

    Raises:
        OutOfMemoryError: it takes more than there is.
    """
    if needed > free:
        raise OutOfMemoryError(
            f"not enough memory for {job.batch_size} images of {job.image_size[0]}x{job.image_size[1]} in "
            f"{job.precision} on {job.device}: about {needed / 2**30:.1f} GiB are needed and {free / 2**30:.1f} GiB "
            "are left; use a smaller batch or smaller images"
        )


def _kernels(options: Mapping[str, str]) -> str:
    check_options("cuda", options, {"kernels": KERNELS}, required=("kernels",))
    return options["kernels"]


def _check_here(job: Job, kernels: str) -> None:
    if job.device == "cuda":
        check_gpu()
    if kernels == OURS and not have_kernels(job.device):
        raise BackendError(
            f"kernels={kernels!r} needs Triton on {job.device}, which cannot run here: pip install triton, or take "
            f"kernels={LIBRARY!r}"
        )


def _ways(record: ProgramRecord, kernels: str, job: Job, folder: Path) -> tuple[ProgramRecord, Chosen]:
    """Return the steps, pairs of them as one where that was measured to be faster, and the way of each."""
    if kernels == MEASURED:
        return measured(record, job, read_choices(folder), setting)
    return record, unmeasured(record, ours=kernels == OURS)


def _tuned(record: ProgramRecord, folder: Path, job: Job) -> dict[str, str]:
    there = resident(record, folder, job)
    path = table_file()
    tuner = Tuner(record, there.weights, job, ours=have_kernels(job.device), measure=on_the_device, now=time.monotonic)
    choices, table = tuner.choices(read_table(path), TUNING_S)
    write_table(table, path)
    return choices


BACKEND = CudaBackend()
