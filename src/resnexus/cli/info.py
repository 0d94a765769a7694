"""`resnexus info NAME`: all that is known of one network."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from resnexus.architectures.complexity import Complexity
    from resnexus.weights.checkpoints import Published
    from resnexus.weights.errata import Erratum

_UNITS = {"gflops": "GFLOPs", "mparams": "M parameters", "v100_ms": "ms on V100"}


def info(
    name: Annotated[str, typer.Argument(help="A network of `resnexus list`; upper and lower case are the same.")],
    image_size: Annotated[int, typer.Option(help="Pixels on a side.")] = 224,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show a network: its row, features, cost, published figures, and which of those are wrong."""
    import resnexus
    from resnexus.weights.checkpoints import published, tags
    from resnexus.weights.errata import errata

    row = resnexus.architecture(name)
    cost = resnexus.complexity(row.name, image_size)
    figures, wrong = published(row.name), errata(row.name)
    if json_output:
        content = {
            "architecture": asdict(row),
            "family": row.family,
            "features": [
                {"name": f"stage{stage}", "channels": row.outer_width(stage), "reduction": reduction}
                for stage, reduction in enumerate(row.reductions)
            ],
            "complexity": {"image_size": image_size, **asdict(cost), "gflops": cost.gflops},
            "published": asdict(figures),
            "errata": [asdict(erratum) for erratum in wrong],
            "checkpoints": {tag: record.url for tag, record in tags(row.name).items()},
        }
        print(json.dumps(content, indent=1))
        return
    print(f"{row.name}  ({row.family})\n")
    _section("architecture", {field: value for field, value in asdict(row).items() if field != "name"})
    _section(
        "features", {f"stage{stage}": _feature(row.outer_width(stage), row.reductions[stage]) for stage in _stages(row)}
    )
    _section(f"cost at {image_size}x{image_size}, counted", _cost(cost))
    _section("published", _figures(figures))
    for record in tags(row.name).values():
        top = f"top-1 {100 * record.published.top1:.1f} %, top-5 {100 * record.published.top5:.1f} %"
        print(f"  checkpoint {record.tag:9} {top}")
    _print_errata(wrong)


def _stages(row: Any) -> range:
    return range(len(row.depths))


def _feature(channels: int, reduction: int) -> str:
    return f"{channels} channels, stride {reduction}"


def _cost(cost: Complexity) -> dict[str, str]:
    return {
        "parameters": f"{cost.mparams:.2f} M  ({cost.parameters:,}; and {cost.buffers:,} running statistics)",
        "FLOPs": f"{cost.gflops:.2f} GFLOPs  (2 x {cost.macs:,} multiply-adds)",
        "activations": f"{cost.activations / 1e6:.2f} M",
    }


def _figures(figures: Published) -> dict[str, str]:
    found = {"accuracy": f"top-1 {100 * figures.top1:.1f} %, top-5 {100 * figures.top5:.1f} % on ImageNet-1k"}
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


def _section(title: str, values: dict[str, Any]) -> None:
    print(title)
    for name, value in values.items():
        print(f"  {name:16} {value}")
    print()


def _print_errata(wrong: list[Erratum]) -> None:
    if not wrong:
        return
    print("\nwrong in the published tables")
    for erratum in wrong:
        unit = _UNITS.get(erratum.field, f"ms on T4 ({erratum.field})")
        right = "" if erratum.counted is None else f", counted {erratum.counted:.2f}"
        print(f"  {erratum.published:.2f} {unit}{right}: {erratum.reason}")
