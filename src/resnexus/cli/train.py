"""`resnexus train`: a network on your images, by a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnexus.cli.options import (
    DATA,
    TEACHER,
    AllowBadImages,
    Changes,
    Device,
    Devices,
    Json,
    RecipeName,
    StartWeights,
    refuse_others,
)

if TYPE_CHECKING:
    from resnexus.trainer import Trained
    from resnexus.training.recipe import Recipe

_SHOWN = 10
"""Images that could not be read which are named; all are counted."""


def train(
    context: typer.Context,
    model: Annotated[
        str | None,
        typer.Option(metavar="NETWORK", help="A network of `resnexus list`; that of the recipe's name if left out."),
    ] = None,
    data: Annotated[str, typer.Option(help=DATA)] = "digits",
    out: Annotated[Path, typer.Option(help="Folder of this training; started again, it goes on.")] = Path("training"),
    recipe: RecipeName = "finetune-small",
    weights: StartWeights = None,
    teacher: Annotated[
        str | None,
        typer.Option(
            metavar=TEACHER,
            help="Whose answers are learned, by the recipes _ssld and usi or --set distillation=kl: a published "
            "network, or a file of weights.",
        ),
    ] = None,
    changes: Changes = None,
    device: Device = "auto",
    devices: Devices = 1,
    allow_bad_images: AllowBadImages = False,
    download: Annotated[bool, typer.Option("--download", help="Fetch CIFAR if its folder does not hold it.")] = False,
    print_recipe: Annotated[bool, typer.Option("--print-recipe", help="Print the recipe, resolved, and stop.")] = False,
    list_recipes: Annotated[bool, typer.Option("--list-recipes", help="List the recipes and stop.")] = False,
    json_output: Json = False,
) -> None:
    """Train a network by a recipe; the same command goes on where it was interrupted.

    OUT gets last.safetensors and best.safetensors, which every other command takes, metrics.csv, the recipe as it was
    carried out, and the checkpoints to go on from. SIGTERM keeps the training and ends with exit code 143.
    """
    from resnexus.series.recipes import find_recipe, parse_changes, recipes

    if list_recipes:
        refuse_others(context, {"list_recipes"}, "--list-recipes")
        print("\n".join(recipes()))
        return
    found, changed = find_recipe(recipe), parse_changes(changes or [])
    if print_recipe:
        _print(found.changed(changed), as_json=json_output)
        return

    from resnexus.progress import Shown, Silent
    from resnexus.trainer import train as job
    from resnexus.training.processes import rank

    first = rank(devices) == 0
    done = job(
        model or _network_of(recipe),
        data,
        out=out,
        recipe=found,
        weights=weights,
        teacher=teacher,
        changes=changed,
        device=device,
        devices=devices,
        allow_bad_images=allow_bad_images,
        download=download,
        progress=Shown() if first and not json_output else Silent(),
    )
    if first:
        _report(done, as_json=json_output)


def _network_of(recipe: str) -> str:
    from resnexus.errors import ResnexusError
    from resnexus.series.checkpoints import checkpoints

    by_name = {name.lower(): record.architecture for name, record in checkpoints().items()}
    if recipe.lower() not in by_name:
        raise ResnexusError(f"recipe {recipe!r} is for any network: say which with --model, see resnexus list")
    return by_name[recipe.lower()]


def _report(done: Trained, *, as_json: bool) -> None:
    import json

    if as_json:
        print(json.dumps(list(done.outcome.rows), indent=1))
    else:
        best = done.outcome.best
        print(
            f"best: {100 * best['top1']:.2f} % top-1 after epoch {best['epoch']} of {done.recipe.epochs}; "
            f"{100 * done.outcome.waiting:.0f} % of the time went into waiting for images"
        )
        names = ("best.safetensors", "last.safetensors", "metrics.csv")
        print(f"wrote {', '.join(str(done.out / name) for name in names)}")
    tell_skipped(done)


def tell_skipped(done: Trained) -> None:
    """Name the images that could not be read, on standard error."""
    import sys

    if not done.bad_images:
        return
    print(f"{len(done.bad_images)} images could not be read and were skipped:", file=sys.stderr)
    for bad in done.bad_images[:_SHOWN]:
        print(f"  {bad}", file=sys.stderr)
    if len(done.bad_images) > _SHOWN:
        print(f"  and {len(done.bad_images) - _SHOWN} more", file=sys.stderr)


def _print(recipe: Recipe, *, as_json: bool) -> None:
    import json

    flat = recipe.flat()
    if as_json:
        print(json.dumps(flat, indent=1))
        return
    width = max(map(len, flat))
    for name, value in flat.items():
        print(f"{name:{width}}  {json.dumps(value) if not isinstance(value, str) else value}")
