"""Where a training runs here, and in what precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """What a training runs on.

    Attributes:
        device: `"cuda"`, the first GPU, or `"cpu"`.
        precision: Lightning's name of it: bfloat16 mixed with float32, or float32 alone.
    """

    device: Literal["cpu", "cuda"]
    precision: Literal["32-true", "bf16-mixed"]


def hardware() -> Hardware:
    """Return the first GPU, in bfloat16 mixed precision where the GPU has it, or else the CPU in float32."""
    if not torch.cuda.is_available():
        return Hardware(device="cpu", precision="32-true")
    return Hardware(device="cuda", precision="bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true")
