"""`resnexus convert`: weights of one kind to another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def convert(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE", help="A .pdparams, .safetensors or torch file (.pth, .pt, .bin, .ckpt, .tar)."
        ),
    ],
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="The file to write; its suffix says of which kind.")],
    architecture: Annotated[
        str | None,
        typer.Option(metavar="NETWORK", help="The network, where names and shapes cannot tell, or to be sure."),
    ] = None,
    layout: Annotated[
        str | None, typer.Option(help="Whose names to write: resnexus, timm (torchvision's too) or paddle.")
    ] = None,
    entry: Annotated[str | None, typer.Option(help="Which state of a torch file with several.")] = None,
    prefix: Annotated[str | None, typer.Option(help="Which network of a file with several, such as Student.")] = None,
) -> None:
    """Convert weights between Paddle, PyTorch, timm and torchvision, strictly; says what was found."""
    from resnexus.weights.convert import convert as job

    done = job(
        source,
        target,
        architecture=architecture,
        layout=layout,
        entry=entry,
        prefix=prefix,
    )
    print(done)
