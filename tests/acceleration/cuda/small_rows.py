"""Small networks of every kind, with widths that fill no tile, and how closely an engine's program comes to them."""

from __future__ import annotations

from typing import Any

import resnexus
from resnexus.acceleration.cuda.arrange import Arranged, arrange
from resnexus.acceleration.cuda.steps import ProgramRecord
from resnexus.acceleration.cuda.ways import Weights
from resnexus.acceleration.lowering.lower import lower
from resnexus.rewrites.table import free, rewritten

IMAGE_SIZE = (33, 47)
_VD: dict[str, Any] = {"stem": "deep", "shortcut": "pool"}
_WIDTHS: dict[str, Any] = {"depths": (1, 1), "out_width": 24, "stem_width": 12}
ROWS: dict[str, dict[str, Any]] = {
    "vd": {"block": "bottleneck", "width": 10, **_WIDTHS, **_VD},
    "resnext": {"block": "bottleneck", "width": 4, "groups": 4, **_WIDTHS, "depths": (2, 1)},
    "se": {"block": "bottleneck", "width": 4, "groups": 4, "se_reduction": 4, **_WIDTHS},
    "se, basic": {"block": "basic", "width": 24, "se_reduction": 4, **_WIDTHS, **_VD},
    "res2": {"block": "res2", "width": 6, "scale": 4, **_WIDTHS, "depths": (2, 1)},
    "res2, vd": {"block": "res2", "width": 7, "scale": 3, **_WIDTHS, **_VD},
}


def row(name: str) -> resnexus.Architecture:
    return resnexus.Architecture(name="tiny", **ROWS[name])


def arranged(network: Any, dtype: Any, *, rewrites: tuple[str, ...] | None = None) -> Arranged:
    """The steps of a network, with all rewrites that cost nothing if no others are named."""
    names = free(network.architecture) if rewrites is None else rewrites
    return arrange(lower(rewritten(network, names)), dtype)


def record_of(found: Arranged) -> ProgramRecord:
    return ProgramRecord(values=found.values, outputs=found.outputs, steps=found.steps, weights="")


def weights_of(found: Arranged) -> Weights:
    import torch

    layouts = {4: torch.channels_last}
    return Weights(
        {
            name: tensor.contiguous(memory_format=layouts.get(tensor.ndim, torch.contiguous_format))
            for name, tensor in found.weights.items()
        }
    )
