"""`resnexus info NAME`: all that is known of one network."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resnexus.cli.options import Json

if TYPE_CHECKING:
    from resnexus.architectures.complexity import Complexity
    from resnexus.series.errata import Erratum
    from resnexus.series.published import Published

_UNITS = {"gflops": "GFLOPs", "mparams": "M parameters", "v100_ms": "ms on V100"}


def info(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NETWORK",
            help="A network of `resnexus list`, or a small sibling; upper and lower case are the same.",
        ),
    ],
    image_size: Annotated[int, typer.Option(help="Pixels on a side.")] = 224,
    json_output: Json = False,
) -> None:
    """Show a network: its row, features, cost, published figures, and which of those are wrong."""
    import resnexus
    from resnexus.architectures.features import feature_info
    from resnexus.architectures.siblings import SIBLINGS
    from resnexus.series.errata import errata
    from resnexus.series.published import checkpoint_entries, published

    row = resnexus.architecture(name)
    cost = resnexus.complexity(row, image_size)
    maps = feature_info(row, row.reductions[-1])
    ours = row in SIBLINGS.values()
    figures, wrong = None if ours else published(row.name), [] if ours else errata(row.name)
    checkpoints = [entry["checkpoint"] for entry in checkpoint_entries() if entry["architecture"] == row.name]
    if json_output:
        content = {
            "architecture": asdict(row),
            "family": row.family,
            "features": [
                {"map": number, "name": info.name, "channels": info.num_chs, "reduction": info.reduction}
                for number, info in enumerate(maps)
            ],
            "complexity": {"image_size": image_size, **asdict(cost), "gflops": cost.gflops},
            "published": None if figures is None else asdict(figures),
            "errata": [asdict(erratum) for erratum in wrong],
            "checkpoints": checkpoints,
        }
        print(json.dumps(content, indent=1))
        return
    print(f"{row.name}  ({row.family})\n")
    _section("architecture", {field: value for field, value in asdict(row).items() if field != "name"})
    features = {
        f"{number} {info.name}": f"{info.num_chs} channels, stride {info.reduction}" for number, info in enumerate(maps)
    }
    _section("feature maps", features)
    _section(f"cost at {image_size}x{image_size}, counted", _cost(cost))
    if figures is not None:
        _section("published", _figures(figures))
    accuracies = {name: _accuracy(published(name)) for name in checkpoints}
    _section(
        "checkpoints", accuracies or {"none": f"a {'small sibling' if ours else 'baseline'}; build it and train it"}
    )
    _print_errata(wrong)


def _cost(cost: Complexity) -> dict[str, str]:
    return {
        "parameters": f"{cost.mparams:.2f} M  ({cost.parameters:,}; and {cost.buffers:,} running statistics)",
        "FLOPs": f"{cost.gflops:.2f} GFLOPs  (2 x {cost.macs:,} multiply-adds)",
        "activations": f"{cost.activations / 1e6:.2f} M",
    }


def _figures(figures: Published) -> dict[str, str]:
    found = {"accuracy": f"{_accuracy(figures)} on ImageNet-1k"}
    if figures.reference_top1 is not None:
        found["the paper's"] = f"top-1 {100 * figures.reference_top1:.1f} %"
    found["size"] = f"{figures.mparams:.2f} M parameters, {figures.gflops:.2f} GFLOPs"
    if figures.v100_ms is not None:
        found["V100 latency"] = f"{figures.v100_ms:.3f} ms, fp32, batch 1"
    for precision in ("fp16", "fp32"):
        batches = [f"{figures.t4_ms[f'{precision}_bs{size}']:.2f}" for size in (1, 4, 8) if figures.t4_ms]
        if batches:
            found[f"T4 {precision} latency"] = f"{' / '.join(batches)} ms, batch 1 / 4 / 8"
    return found


def _accuracy(figures: Published) -> str:
    return f"top-1 {100 * figures.top1:.1f} %, top-5 {100 * figures.top5:.1f} %"


def _section(title: str, values: dict[str, Any]) -> None:
    print(title)
    width = max(16, *map(len, values))
    for name, value in values.items():
        print(f"  {name:{width}}  {value}")
    print()


def _print_errata(wrong: list[Erratum]) -> None:
    if not wrong:
        return
    print("wrong in the published tables")
    for erratum in wrong:
        unit = _UNITS.get(erratum.field, f"ms on T4 ({erratum.field})")
        right = "" if erratum.counted is None else f", counted {erratum.counted:.2f}"
        print(f"  {erratum.published:.2f} {unit}{right}: {erratum.reason}")
