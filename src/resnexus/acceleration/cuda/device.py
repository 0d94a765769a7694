"""The GPU of this process: whether there is one, what tells it from others, and how it rounds float32."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import torch

from resnexus.errors import ResnexusError
from resnexus.packages import installed_version, is_installed

_DRIVER = Path("/proc/driver/nvidia/version")

_settings = threading.RLock()


def has_gpu() -> bool:
    """Whether PyTorch can use an NVIDIA GPU here."""
    return torch.cuda.is_available() and torch.version.cuda is not None


def check_gpu() -> None:
    """Check that there is a GPU.

    Raises:
        ResnexusError: PyTorch sees none.
    """
    if not has_gpu():
        raise ResnexusError("device 'cuda': PyTorch sees no GPU here; use device 'cpu'")


def identity() -> dict[str, str]:
    """Return what a plan or a measurement depends on: the GPU's name and generation, its driver, CUDA and cuDNN.

    The processor of the machine is not among them: the GPU replays whole networks by itself.
    """
    major, minor = torch.cuda.get_device_capability()
    return {
        "gpu": torch.cuda.get_device_name(),
        "capability": f"{major}.{minor}",
        "driver": driver(),
        "cuda": str(torch.version.cuda),
        "cudnn": str(torch.backends.cudnn.version()),  # type: ignore[no-untyped-call]
    }


def device_key() -> str:
    """Return a name for what was measured here: the digest of the identity and of the versions of what computes."""
    versions = {name: installed_version(name) for name in ("torch", "triton") if is_installed(name)}
    return hashlib.sha256(json.dumps(identity() | versions, sort_keys=True).encode()).hexdigest()


def driver() -> str:
    """Return what the driver says of itself, or an empty text where the system does not tell."""
    try:
        return _DRIVER.read_text(encoding="utf-8", errors="replace").splitlines()[0].strip()
    except (OSError, IndexError):
        return ""


@contextmanager
def exact_float32(*, benchmark: bool = False) -> Iterator[None]:
    """Let products of float32 keep all bits meanwhile: no TF32.

    The settings belong to the whole process; one thread at a time changes them.

    Args:
        benchmark: whether cuDNN measures its algorithms, which takes seconds for a network, and pays where it is
            captured.
    """
    with _settings:
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        try:
            with torch.backends.cudnn.flags(enabled=True, benchmark=benchmark, allow_tf32=False):
                yield
        finally:
            torch.set_float32_matmul_precision(before)


def exact_on(device: str) -> AbstractContextManager[None]:
    """Return `exact_float32` for a GPU, and for another device, which shortens no products, what changes nothing.

    Args:
        device: `"cpu"` or `"cuda"`.
    """
    return exact_float32() if device == "cuda" else nullcontext()


def event_ms(call: Callable[[], object]) -> float:
    """Return the milliseconds from the beginning to the end of the work that a call queues on the current stream.

    The device is idle before, so that what the host takes to queue the work counts as far as the device waits for it.
    """
    start = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    torch.cuda.synchronize()
    start.record()
    call()
    end.record()
    end.synchronize()
    return start.elapsed_time(end)


def free_bytes() -> int:
    """Return what the current GPU has left, with what PyTorch holds and does not use."""
    free, _ = torch.cuda.mem_get_info()
    return free + torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
