"""What the machine itself can do, measured on the spot: the floor under every latency."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from torch.nn import functional as F

from resnexus.acceleration.backends.contract import DTYPES, BackendError
from resnexus.acceleration.backends.registry import backend
from resnexus.acceleration.backends.torch import using_threads
from resnexus.acceleration.cuda.device import exact_on
from resnexus.acceleration.native import product
from resnexus.architectures.catalog import architecture
from resnexus.architectures.complexity import complexity
from resnexus.architectures.spec import Architecture
from resnexus.benchmark.ranges import not_negative, positive

_SIDE = {"cpu": 2048, "cuda": 8192}
_COPIED = {"cpu": 2**28, "cuda": 2**31}
_REPEATS = 7
_LONG_S = 2.0  # PyTorch multiplies int8 without a library on some processors; warm caches matter little to it then
_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1}

_log = logging.getLogger("resnexus")


@dataclass(frozen=True, kw_only=True)
class Peak:
    """The fastest that was seen of a machine in one precision.

    Attributes:
        device: `"cpu"` or `"cuda"`.
        precision: of the operands.
        tflops: 1e12 operations per second, a multiply-add being two, of large matrix products: PyTorch's, or our own
            kernels' where they are faster; None where PyTorch has none in that precision.
        gbytes_s: 1e9 bytes per second, read and written, of a large copy.
        call_us: microseconds from queueing the smallest operation to its end.
    """

    device: str
    precision: str
    tflops: float | None
    gbytes_s: float
    call_us: float

    def __post_init__(self) -> None:
        if self.tflops is not None:
            positive(tflops=self.tflops)
        positive(gbytes_s=self.gbytes_s)
        not_negative(call_us=self.call_us)


def peak(device: str, precision: str, threads: int) -> Peak:
    """Measure one: the best of several repeats, since nothing makes a machine faster than it is.

    Args:
        device: `"cpu"` or `"cuda"`; there float32 keeps all its bits, as in everything that is timed against it.
        precision: of the operands.
        threads: of the processor.
    """
    with exact_on(device), using_threads(threads):
        return _peak(device, precision, threads)


def _peak(device: str, precision: str, threads: int) -> Peak:
    wait = torch.cuda.synchronize if device == "cuda" else (lambda: None)
    found = (_tflops(device, precision, wait), _own_tflops(device, precision, threads))
    small = torch.ones(1, device=device)
    source = torch.zeros(_COPIED[device], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return Peak(
        device=device,
        precision=precision,
        tflops=max(filter(None, found), default=None),
        gbytes_s=2 * len(source) / _fastest(lambda: target.copy_(source), wait) / 1e9,
        call_us=1e6 * median(_seconds(lambda: small.add_(1), wait) for _ in range(101)),
    )


def _tflops(device: str, precision: str, wait: Callable[[], object]) -> float | None:
    side = _SIDE[device]
    if precision == "int8":
        if device != "cpu":
            return None
        whole = torch.randint(-128, 128, (side, side), dtype=torch.int8)
        products = [lambda: torch._int_mm(whole, whole)]
    else:
        left, right = (torch.randn(side, side, device=device).to(DTYPES[precision]) for _ in range(2))
        # One of the two layouts of the second matrix suits the library better.
        products = [lambda: torch.mm(left, right), lambda: F.linear(left, right)]
    with torch.inference_mode():
        return 2 * side**3 / min(_fastest(product, wait) for product in products) / 1e12


def _own_tflops(device: str, precision: str, threads: int) -> float | None:
    if precision not in backend("native").precisions(device):
        return None
    images = torch.randn(threads, *product.SHAPE)
    with tempfile.TemporaryDirectory() as folder:
        try:
            program = product.chain(Path(folder), threads)
        except BackendError as error:
            _log.warning("our own kernels do not count for the peak: %s", error)
            return None
        return 2 * product.macs(threads) / _fastest(lambda: program(images), lambda: None) / 1e12


def _fastest(call: Callable[[], object], wait: Callable[[], object]) -> float:
    first = _seconds(call, wait)
    if first > _LONG_S:
        return first
    return min(_seconds(call, wait) for _ in range(_REPEATS))


def _seconds(call: Callable[[], object], wait: Callable[[], object]) -> float:
    wait()
    start = time.perf_counter()
    call()
    wait()
    return time.perf_counter() - start


def floor_ms(
    model: str | Architecture,
    found: Peak,
    batch_size: int,
    image_size: int,
    *,
    output_stride: int | None = None,
    out_indices: Sequence[int] | None = None,
) -> float | None:
    """Return the milliseconds that no way to run a network layer by layer without saving multiply-adds goes below.

    The largest of three: its operations at the peak of a matrix product; its weights and images once through memory
    at the speed of a copy; one call. None if the peak was not measured. Output stride and maps are those of
    `complexity`.
    """
    if found.tflops is None:
        return None
    row = architecture(model)
    cost = complexity(row, image_size=image_size, output_stride=output_stride, out_indices=out_indices)
    operations = 2 * cost.macs * batch_size / (found.tflops * 1e12)
    numbers = cost.parameters + 3 * image_size**2 * batch_size
    moved = numbers * _BYTES[found.precision] / (found.gbytes_s * 1e9)
    return 1e3 * max(operations, moved, found.call_us / 1e6)
