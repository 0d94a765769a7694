"""`resnexus distill finetune`: the second stage of a student."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from resnexus.cli.distill.options import LabelWeight, Loss, recipe_of, report, running
from resnexus.cli.options import TEACHER, AllowBadImages, Changes, Device, Devices, Json, RecipeName


def finetune(
    weights: Annotated[str, typer.Argument(metavar="FILE", help="Weights of the first stage.")],
    labelled: Annotated[str, typer.Option(help="Labelled pictures, as `train --data` takes them.")],
    out: Annotated[Path, typer.Option(help="Folder of this training; started again, it goes on.")],
    teacher: Annotated[
        str | None,
        typer.Option(metavar=TEACHER, help="A published network, or a file of weights; none with --loss labels."),
    ] = None,
    recipe: RecipeName = "distil-finetune",
    loss: Loss = None,
    label_weight: LabelWeight = None,
    changes: Changes = None,
    device: Device = "auto",
    devices: Devices = 1,
    allow_bad_images: AllowBadImages = False,
    json_output: Json = False,
) -> None:
    """Train the student on labelled pictures: by the teacher's answers, as published, or by labels.

    Weights of the first stage transfer better to other tasks, say those who published this; keep both.
    """
    from resnexus.distillation.stages import finetune as job

    wanted = recipe_of(recipe, loss, label_weight, changes)
    done = job(
        weights,
        labelled,
        out=out,
        recipe=wanted,
        teacher=teacher,
        **running(device, devices, allow_bad_images, json_output),
    )
    report(done, as_json=json_output)
