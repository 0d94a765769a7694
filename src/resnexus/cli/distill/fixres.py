"""`resnexus distill fixres`: a trained network at larger sizes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnexus.cli.distill.options import recipe_of, running
from resnexus.cli.options import COMMA, AllowBadImages, Changes, Device, Devices, Json, RecipeName, numbers

if TYPE_CHECKING:
    from resnexus.distillation.fixres import FixRes


def fixres(
    weights: Annotated[str, typer.Argument(metavar="FILE", help="Trained weights.")],
    labelled: Annotated[str, typer.Option(help="Labelled pictures, as `train --data` takes them.")],
    out: Annotated[Path, typer.Option(help="Folder of this training; started again, it goes on.")],
    sizes: Annotated[
        str,
        typer.Option(help=f"Pixels on a side to evaluate at, {COMMA}; 1, 8/7, 9/7 and 10/7 of its own if left out."),
    ] = "",
    size: Annotated[
        int | None, typer.Option(help="Size to train the classifier at; the best of the sizes if left out.")
    ] = None,
    recipe: RecipeName = "fixres",
    changes: Changes = None,
    device: Device = "auto",
    devices: Devices = 1,
    allow_bad_images: AllowBadImages = False,
    json_output: Json = False,
) -> None:
    """Evaluate a network at larger sizes, then train its classifier alone at one of them."""
    from resnexus.distillation.fixres import fix_resolution
    from resnexus.records import to_json

    found = fix_resolution(
        weights,
        labelled,
        out=out,
        recipe=recipe_of(recipe, None, None, changes),
        sizes=numbers(sizes, "--sizes"),
        size=size,
        **running(device, devices, allow_bad_images, json_output),
    )
    print(to_json(found) if json_output else "\n".join([*_lines(found), f"wrote {out / 'last.safetensors'}"]))


def _lines(found: FixRes) -> list[str]:
    lines = [f"{one.size:5} pixels: {100 * one.top1:.2f} % top-1" for one in found.sizes]
    lines.append(f"{found.size:5} pixels: {100 * found.tuned.top1:.2f} % top-1 with its classifier trained there")
    if found.chosen:
        lines.append("the size is the best of these on the very images that it is evaluated on: others may find less")
    return lines
