"""The 27 published checkpoints of the series, and the published figures of the networks they belong to.

A row of `architectures.catalog` says what a network is; a record here says what was trained, by whom, and how good
it is said to be.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from resnexus.data.preprocess import Preprocess
from resnexus.errors import unknown

BASE_URL = "https://paddle-imagenet-models-name.bj.bcebos.com/"
TAGS = ("imagenet", "ssld")


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


@dataclass(frozen=True, kw_only=True)
class TrainingRecipe:
    """How a checkpoint was trained: SGD with momentum 0.9, batch 256, 224x224, L2 on every parameter.

    Attributes:
        epochs: passes over ImageNet-1k's training images.
        schedule: `"cosine"` to 0, per step, or `"step"`: x 0.1 after 30, 60 and 90 epochs.
        learning_rate: at the start.
        weight_decay: L2, added to the gradient, normalisations and biases included.
        label_smoothing: 0 for none.
        mixup: alpha of the Beta distribution, 0 for none.
    """

    epochs: int
    schedule: str
    learning_rate: float = 0.1
    weight_decay: float
    label_smoothing: float
    mixup: float


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """One published file of weights.

    Attributes:
        name: as published, e.g. `"Res2Net50_vd_26w_4s_ssld"`.
        architecture: the row it belongs to.
        tag: `"imagenet"` or `"ssld"` (semi-supervised label distillation).
        url: where it was published.
        licence: SPDX identifier of the upstream project.
        published: its row of the page.
        preprocess: how its images are to be prepared.
        recipe: how it was trained; None where that was not published.
        sha256: of the published file; None, since no hash was published.
    """

    name: str
    architecture: str
    tag: str
    url: str
    licence: str
    published: Published
    preprocess: Preprocess
    recipe: TrainingRecipe | None
    sha256: str | None = None


@cache
def checkpoints() -> dict[str, Checkpoint]:
    """Return the 27 checkpoints by published name, in the order of the page."""
    return {entry["checkpoint"]: _checkpoint(entry) for entry in _series()["checkpoints"]}


@cache
def published(architecture: str) -> Published:
    """Return the figures published for a network trained on ImageNet-1k alone: 24 networks and 4 baselines.

    Raises:
        ResnexusError: the page has no such network.
    """
    rows = {entry["architecture"]: entry for entry in _series()["baselines"]}
    rows |= {entry["checkpoint"]: entry for entry in _series()["checkpoints"]}
    if architecture not in rows:
        raise unknown("published network", architecture, rows, see="resnexus list")
    return _published(rows[architecture])


def tags(architecture: str) -> dict[str, Checkpoint]:
    """Return the checkpoints of one network by tag; empty for a baseline."""
    return {record.tag: record for record in checkpoints().values() if record.architecture == architecture}


@cache
def _series() -> dict[str, Any]:
    text = (files("resnexus.weights") / "series.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def _checkpoint(entry: dict[str, Any]) -> Checkpoint:
    name, architecture = entry["checkpoint"], entry["architecture"]
    ssld = name.endswith("_ssld")
    return Checkpoint(
        name=name,
        architecture=architecture,
        tag="ssld" if ssld else "imagenet",
        url=BASE_URL + entry["url_path"],
        licence="Apache-2.0",
        published=_published(entry),
        preprocess=Preprocess(),
        recipe=None if ssld else _recipe(architecture),
    )


def _published(entry: dict[str, Any]) -> Published:
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


_STEP_WEIGHT_DECAY = {
    "ResNeXt50_32x4d": 1e-4,
    "ResNeXt50_64x4d": 1e-4,
    "ResNeXt101_32x4d": 1e-4,
    "ResNeXt101_64x4d": 1.5e-4,
    "ResNeXt152_32x4d": 1e-4,
    "ResNeXt152_64x4d": 1.8e-4,
}


def _recipe(architecture: str) -> TrainingRecipe:
    if architecture in _STEP_WEIGHT_DECAY:
        decay = _STEP_WEIGHT_DECAY[architecture]
        return TrainingRecipe(epochs=120, schedule="step", weight_decay=decay, label_smoothing=0.0, mixup=0.0)
    decay = 7e-5 if architecture.startswith("SE") else 1e-4
    return TrainingRecipe(epochs=200, schedule="cosine", weight_decay=decay, label_smoothing=0.1, mixup=0.2)
