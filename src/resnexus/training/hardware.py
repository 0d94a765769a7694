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
        precision: `"bf16"` mixed with float32, or float32 alone.
    """

    device: Literal["cpu", "cuda"]
    precision: Literal["fp32", "bf16"]

    @property
    def accelerator(self) -> str:
        """Lightning's name of the device."""
        return "gpu" if self.device == "cuda" else "cpu"


def hardware() -> Hardware:
    """Return the first GPU, in bfloat16 mixed precision where the GPU has it, or else the CPU in float32."""
    if not torch.cuda.is_available():
        return Hardware(device="cpu", precision="fp32")
    return Hardware(device="cuda", precision="bf16" if torch.cuda.is_bf16_supported() else "fp32")
