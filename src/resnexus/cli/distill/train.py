"""`resnexus distill train`: the first stage of a student."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from resnexus.cli.distill.options import LabelWeight, Loss, recipe_of, report, running
from resnexus.cli.options import TEACHER, AllowBadImages, Changes, Device, Devices, Json, RecipeName, StartWeights


def train(
    pool: Annotated[
        list[str], typer.Argument(metavar="POOL|CACHE", help="Pictures without labels, or what `score` wrote.")
    ],
    model: Annotated[str, typer.Option(metavar="NETWORK", help="A network of `resnexus list`.")],
    out: Annotated[Path, typer.Option(help="Folder of this training; started again, it goes on.")],
    teacher: Annotated[
        str | None,
        typer.Option(metavar=TEACHER, help="A published network, or a file of weights; left out, the cache's answers."),
    ] = None,
    labelled: Annotated[
        str | None,
        typer.Option(help="Labelled pictures, as `train --data` takes them, to learn from and to evaluate on."),
    ] = None,
    selection: Annotated[Path | None, typer.Option(help="What `mine` wrote: only these pictures of the pool.")] = None,
    weights: StartWeights = None,
    recipe: RecipeName = "distil",
    loss: Loss = None,
    label_weight: LabelWeight = None,
    changes: Changes = None,
    device: Device = "auto",
    devices: Devices = 1,
    allow_bad_images: AllowBadImages = False,
    json_output: Json = False,
) -> None:
    """Train a student on a teacher's answers; the same command goes on where it was interrupted.

    Labels do not count, unless --label-weight says so. A teacher that is named is asked about every crop and mixture
    that the student sees; without one, the views of a cache are shown again, with the answers that were kept.
    """
    from resnexus.distillation.stages import train_student

    wanted = recipe_of(recipe, loss, label_weight, changes)
    done = train_student(
        pool,
        model,
        out=out,
        recipe=wanted,
        teacher=teacher,
        labelled=labelled,
        selection=selection,
        weights=weights,
        **running(device, devices, allow_bad_images, json_output),
    )
    report(done, as_json=json_output)
