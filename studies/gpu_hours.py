"""How long the published trainings take on one GPU: an estimate from published inference speeds.

hours = epochs x 1,281,167 images x 3 / images per second of inference, the backward pass counted as two forward
passes. A network that timm has not timed is scaled by its multiply-adds from the nearest one that it has.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from resnexus import architecture, complexity
from resnexus.series.checkpoints import checkpoints
from resnexus.series.published import published
from resnexus.series.recipes import find_recipe

TRAIN_IMAGES = 1_281_167
PASSES = 3
POOL, VIEWS, MINED = 14_000_000, 3, 4_000_000
"""Of SSLD: pictures that are scored, views of each (the plain one and two), pictures that are mined."""
DISTILLED_BY = "Res2Net200_vd_26w_4s"
RECORD = Path(__file__).parents[1] / "results" / "timm_inference_rtx4090_amp_nhwc.json"

# The beginning of our names -> timm's network of the same blocks and about the same depth.
NEAREST = {
    "ResNeXt50_64x4d": "resnext101_64x4d",
    "ResNeXt50_vd_64x4d": "resnext101_64x4d",
    "ResNeXt50": "resnext50_32x4d",
    "ResNeXt101_64x4d": "resnext101_64x4d",
    "ResNeXt101_vd_64x4d": "resnext101_64x4d",
    "ResNeXt101": "resnext101_32x4d",
    "ResNeXt152_64x4d": "resnext101_64x4d",
    "ResNeXt152_vd_64x4d": "resnext101_64x4d",
    "ResNeXt152": "resnext101_32x4d",
    "SE_ResNet18": "seresnet18",
    "SE_ResNet34": "seresnet34",
    "SE_ResNet50": "seresnet50",
    "SE_ResNeXt50": "seresnext50_32x4d",
    "SE_ResNeXt101": "seresnext101_32x4d",
    "SENet154": "senet154",
    "Res2Net50_14w": "res2net50_14w_8s",
    "Res2Net50": "res2net50_26w_4s",
    "Res2Net101": "res2net101_26w_4s",
    "Res2Net200": "res2net101_26w_4s",
}


def gpu_hours(name: str, epochs: int, record: dict[str, Any]) -> float:
    """Return the hours that a network's training takes on the GPU of a record."""
    return epochs * TRAIN_IMAGES * PASSES * seconds_of(name, record) / 3600


def seconds_of(name: str, record: dict[str, Any]) -> float:
    """Return the seconds of one image's forward pass on the GPU of a record."""
    row = architecture(name)
    nearest = next(timms for ours, timms in NEAREST.items() if row.name.startswith(ours))
    timed = record["networks"][nearest]
    return float(complexity(row).macs / 1e9 / (timed["images_per_s"] * timed["gmacs"]))


def table() -> str:
    """Return the published trainings from labels as Markdown: recipe, epochs, published accuracy, hours."""
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    lines = ["| recipe | epochs | published top-1, % | RTX 4090, hours |", "| --- | ---: | ---: | ---: |"]
    for name, checkpoint in checkpoints().items():
        if name != checkpoint.architecture:
            continue  # of a teacher's soft labels, which its recipe does not have
        epochs = find_recipe(name).epochs
        hours = gpu_hours(name, epochs, record)
        lines.append(f"| {name} | {epochs} | {100 * published(name).top1:.4g} | {float(f'{hours:.2g}'):.0f} |")
    return "\n".join(lines) + "\n"


def distilled_table() -> str:
    """Return the three published distillations as Markdown: hours of scoring and of both stages."""
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    lines = [
        "| student | score 14 M pictures, 3 views | stage 1, 5.3 M pictures, 360 epochs | stage 2, 60 epochs "
        "| RTX 4090, hours |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name in ("Res2Net50_vd_26w_4s", "Res2Net101_vd_26w_4s", "Res2Net200_vd_26w_4s"):
        score = POOL * VIEWS * seconds_of(DISTILLED_BY, record) / 3600
        step = PASSES * seconds_of(name, record) + seconds_of(DISTILLED_BY, record)
        first = 360 * (MINED + TRAIN_IMAGES) * step / 3600
        second = 60 * TRAIN_IMAGES * step / 3600
        hours = [float(f"{hours:.2g}") for hours in (score, first, second, score + first + second)]
        lines.append(f"| {name} | " + " | ".join(f"{one:.0f}" for one in hours) + " |")
    return "\n".join(lines) + "\n"
