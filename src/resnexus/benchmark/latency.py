"""Time networks against each other, per precision and batch size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from functools import partial

import torch
from torch import Tensor, nn

from resnexus.acceleration.backends.contract import DTYPES
from resnexus.benchmark.cell import Cell
from resnexus.benchmark.timing import measure
from resnexus.errors import ResnexusError, unknown
from resnexus.parity.agreement import agreement


def time_networks(
    networks: Mapping[str, nn.Module],
    *,
    image_size: int,
    in_chans: int = 3,
    precisions: Sequence[str] = ("fp32", "bf16"),
    batch_sizes: Sequence[int] = (1, 4, 8),
    device: str = "cpu",
    rounds: int = 5,
    repeats: int = 3,
    on_step: Callable[[], object] | None = None,
) -> list[Cell]:
    """Time plain PyTorch (eager, channels last) for every network, precision and batch size.

    The networks of one precision and batch size take turns in every round, so that a machine that slows down slows
    them all. In half precision weights and images are cast, and the logits are compared with those of fp32.

    Args:
        networks: name -> network in evaluation mode, float32, on the CPU; their memory format becomes channels last.
        image_size: pixels on a side.
        in_chans: channels of the image.
        precisions: of `"fp32"`, `"bf16"`, `"fp16"`.
        batch_sizes: images per call.
        device: `"cpu"` or `"cuda"`.
        rounds: interleaved rounds.
        repeats: timed calls in a round.
        on_step: called `steps(...)` times, for a progress bar.

    Raises:
        ResnexusError: unknown precision or device, or a batch size that is not positive.
    """
    check_precisions(precisions)
    check_batch_sizes(batch_sizes)
    if device not in ("cpu", "cuda"):
        raise unknown("device", device, ("cpu", "cuda"))
    if device == "cuda" and not torch.cuda.is_available():
        raise ResnexusError("device 'cuda': PyTorch sees no GPU here; use device 'cpu'")
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(max(batch_sizes), in_chans, image_size, image_size, generator=generator)
    cells = []
    for precision in precisions:
        dtype = DTYPES[precision]
        cast = {name: _cast(network, device, dtype) for name, network in networks.items()}
        batch = images.to(device, dtype).contiguous(memory_format=torch.channels_last)
        difference = {
            name: None if precision == "fp32" else _difference(networks[name], cast[name], images[:1], batch[:1])
            for name in networks
        }
        for size in batch_sizes:
            part = batch[:size].contiguous(memory_format=torch.channels_last)
            timings = measure(
                {name: partial(network, part) for name, network in cast.items()},
                rounds=rounds,
                repeats=repeats,
                synchronise=torch.cuda.synchronize if device == "cuda" else None,
                on_round=on_step,
            )
            cells += [
                Cell(
                    model=name,
                    device=device,
                    precision=precision,
                    batch_size=size,
                    engine="eager",
                    image_size=image_size,
                    median_ms=timing.median_ms,
                    p10_ms=timing.p10_ms,
                    p90_ms=timing.p90_ms,
                    repeats=timing.repeats,
                    agreement=difference[name],
                )
                for name, timing in timings.items()
            ]
    return cells


def steps(precisions: Sequence[str], batch_sizes: Sequence[int], rounds: int) -> int:
    """How often `time_networks` reports a step."""
    return len(precisions) * len(batch_sizes) * rounds


def check_precisions(precisions: Iterable[str]) -> None:
    """Raise ResnexusError for a precision that PyTorch's eager mode does not have."""
    for precision in precisions:
        if precision not in DTYPES:
            raise unknown("precision", precision, DTYPES)


def check_batch_sizes(batch_sizes: Iterable[int]) -> None:
    """Raise ResnexusError for a batch size that is not a whole number of at least 1."""
    for size in batch_sizes:
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ResnexusError(f"batch size {size!r}: expected a whole number of at least 1")


def _cast(network: nn.Module, device: str, dtype: torch.dtype) -> nn.Module:
    # A copy of every network would double the memory of the one precision that needs none.
    own = network if (device, dtype) == ("cpu", torch.float32) else deepcopy(network)
    return own.to(device, dtype).to(memory_format=torch.channels_last)


@torch.inference_mode()
def _difference(network: nn.Module, cast: nn.Module, images: Tensor, cast_images: Tensor) -> float:
    return agreement(network(images), cast(cast_images)).max_rel
