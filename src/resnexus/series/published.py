"""The figures of the published page, as printed; which of them are wrong is in `errata`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from resnexus.errors import unknown


@dataclass(frozen=True, kw_only=True)
class Published:
    """The figures of one row of the published page; None where it has none.

    Attributes:
        top1: accuracy on ImageNet-1k's validation images, a fraction.
        top5: as `top1`.
        reference_top1: what the paper of the network reports.
        reference_top5: as `reference_top1`.
        gflops: 2 x multiply-adds / 1e9, as printed; see `errata` before you trust it.
        mparams: parameters in millions, as printed.
        v100_ms: latency of one image in milliseconds, V100, fp32.
        t4_ms: latency in milliseconds per batch on a T4 with TensorRT, by `"fp16_bs1"` .. `"fp32_bs8"`.
    """

    top1: float
    top5: float
    reference_top1: float | None
    reference_top5: float | None
    gflops: float
    mparams: float
    v100_ms: float | None
    t4_ms: dict[str, float]


@cache
def published(architecture: str) -> Published:
    """Return the figures published for a network trained on ImageNet-1k alone: 24 networks and 4 baselines.

    Raises:
        ResnexusError: the page has no such network.
    """
    rows = {entry["architecture"]: entry for entry in _series()["baselines"]}
    rows |= {entry["checkpoint"]: entry for entry in checkpoint_entries()}
    if architecture not in rows:
        raise unknown("published network", architecture, rows, see="resnexus list")
    return figures(rows[architecture])


def checkpoint_entries() -> list[dict[str, Any]]:
    """Return the 27 rows of the page's accuracy table, with the path and the latencies of each, as stored."""
    return list(_series()["checkpoints"])


def figures(entry: dict[str, Any]) -> Published:
    """Return the figures of a stored row."""
    return Published(
        top1=entry["top1"],
        top5=entry["top5"],
        reference_top1=entry["reference_top1"],
        reference_top5=entry["reference_top5"],
        gflops=entry["published_gflops"],
        mparams=entry["published_mparams"],
        v100_ms=entry.get("v100_fp32_bs1_ms"),
        t4_ms=entry.get("t4_ms", {}),
    )


@cache
def _series() -> dict[str, Any]:
    text = (files("resnexus.series") / "series.json").read_text(encoding="utf-8")
    return dict(json.loads(text))
