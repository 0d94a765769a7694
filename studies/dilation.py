"""Measure how far a dilated network is from its own stride: ours, and timm's networks of the same kind.

    python -m studies.dilation results/dilation_cpu_DATE.json

Exactness needs no data and no peer: every k-th pixel of the last map at output stride 8 or 16 is the plain network's
last map, or it is not. Random weights and statistics, float64, one image. The figure is the largest difference over the
largest value.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

import resnexus.timm  # noqa: F401  # so that one call builds both
from resnexus.benchmark.environment import environment
from resnexus.packages import required
from resnexus.records import write_json

PAIRS = (
    ("ResNet50_vd", "resnet50d"),
    ("ResNeXt50_32x4d", "resnext50_32x4d"),
    ("Res2Net50_26w_4s", "res2net50_26w_4s"),
    ("Res2Net50_vd_26w_4s", "res2net50d"),
    ("Res2Net50_14w_8s", "res2net50_14w_8s"),
    ("SE_ResNeXt50_32x4d", "seresnext50_32x4d"),
)
"""Ours and timm's of the same kind; a Res2Net of timm's has the authors' cascade."""

STRIDES, SIZES = (16, 8), (128, 129)


def backbone(name: str, output_stride: int) -> nn.Module:
    """Return a network that gives its last map, with weights that depend on the seed alone."""
    torch.manual_seed(0)
    network: nn.Module = required("timm").create_model(
        name, features_only=True, out_indices=(4,), output_stride=output_stride
    )
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return network.double().eval()


@torch.inference_mode()
def difference(name: str, output_stride: int, size: int) -> float:
    """Return the largest difference of the pixels that both maps have, over the largest of them."""
    plain, dilated = backbone(name, 32), backbone(name, output_stride)
    images = torch.randn(1, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    step = 32 // output_stride
    (expected,), (wide,) = plain(images), dilated(images)
    return float((wide[..., ::step, ::step] - expected).abs().max() / expected.abs().max())


def measured(name: str) -> list[dict[str, Any]]:
    """Return the figures of one network."""
    return [
        {"output_stride": stride, "size": size, "difference": difference(name, stride, size)}
        for stride in STRIDES
        for size in SIZES
    ]


def table(record: dict[str, Any]) -> str:
    """Return a record as a table in Markdown."""
    columns = [(stride, size) for stride in STRIDES for size in SIZES]
    heads = [f"{stride}, {size} px" for stride, size in columns]
    lines = [
        f"float64, random weights, the last of the maps; timm {record['environment']['packages']['timm']}, torch "
        f"{record['environment']['packages']['torch']}.",
        "",
        f"| ours | {' | '.join(heads)} | timm's | {' | '.join(heads)} |",
        f"| :-- |{' --: |' * len(columns)} :-- |{' --: |' * len(columns)}",
    ]
    for pair in record["pairs"]:
        cells = []
        for side in ("ours", "timm"):
            found = {(row["output_stride"], row["size"]): row["difference"] for row in pair[side]["differences"]}
            cells.append(f"{pair[side]['name']} | " + " | ".join(f"{found[column]:.0e}" for column in columns))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Write the record."""
    parser = argparse.ArgumentParser(description="Measure how far dilated networks are from their own stride.")
    parser.add_argument("output", type=Path, help="JSON record to write")
    output = parser.parse_args().output
    pairs = []
    for names in PAIRS:
        sides = zip(("ours", "timm"), names, strict=True)
        pairs.append({side: {"name": name, "differences": measured(name)} for side, name in sides})
        print(table({"environment": asdict(environment()), "pairs": pairs[-1:]}).splitlines()[-1], flush=True)
    write_json({"environment": asdict(environment()), "pairs": pairs}, output)


if __name__ == "__main__":
    main()
