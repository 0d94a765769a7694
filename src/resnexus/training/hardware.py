"""Where a training runs here, and in what precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch

from resnexus.devices import GPU, present_device
from resnexus.errors import ResnexusError
from resnexus.training.processes import spread


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """What a training runs on.

    Attributes:
        device: `"cuda"`, the first GPU, or `"cpu"`.
        precision: `"bf16"` mixed with float32, or float32 alone.
    """

    device: Literal["cpu", "cuda"]
    precision: Literal["fp32", "bf16"]


def hardware() -> Hardware:
    """Return the first GPU, in bfloat16 mixed precision where the GPU has it, or else the CPU in float32."""
    if not torch.cuda.is_available():
        return Hardware(device="cpu", precision="fp32")
    return Hardware(device="cuda", precision="bf16" if torch.cuda.is_bf16_supported() else "fp32")


def placed(device: str, devices: int) -> dict[str, Any]:
    """Return what Lightning is told of where a training runs: its `accelerator`, `devices` and `num_nodes`.

    Args:
        device: as `resnexus.devices.device_word` takes it. Lightning's own `"auto"` and `"gpu"` are not asked: on a Mac
            they mean another GPU.
        devices: how many of them on a machine; under torchrun as many as it started.

    Raises:
        ResnexusError: another name, a GPU that is not there, fewer than one, or several where a GPU has a number.
    """
    here, nodes = spread(devices)
    if here < 1:
        raise ResnexusError(f"devices={here}: expected at least 1")
    kind, numbered, number = present_device(device).partition(":")
    if numbered and here * nodes > 1:
        raise ResnexusError(
            f"device {device!r} is one GPU, and {here * nodes} processes are to train: use device 'cuda', and "
            "CUDA_VISIBLE_DEVICES to say which GPUs"
        )
    if kind == GPU and here > torch.cuda.device_count():
        raise ResnexusError(f"devices={here}: expected at most {torch.cuda.device_count()}, the GPUs that are here")
    return {"accelerator": kind, "devices": [int(number)] if numbered else here, "num_nodes": nodes}
