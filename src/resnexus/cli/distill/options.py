"""What several steps of `resnexus distill` take on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from resnexus.cli.train import tell_skipped

if TYPE_CHECKING:
    from resnexus.trainer import Running, Trained
    from resnexus.training.recipe import Recipe

Loss: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="kl, cross-entropy, jensen-shannon, published (as SSLD's code), or labels; the recipe's if left out."
    ),
]
LabelWeight: TypeAlias = Annotated[
    float | None, typer.Option(help="Weight of the labels' loss beside it; the recipe's if left out.")
]


def recipe_of(recipe: str, loss: str | None, label_weight: float | None, changes: list[str] | None) -> Recipe:
    """Return the recipe that the options ask for."""
    from resnexus.distillation.objectives import objective
    from resnexus.series.recipes import parse_changes

    return objective(recipe, loss, label_weight, parse_changes(changes or []))


def running(device: str, devices: int, allow_bad_images: bool, as_json: bool) -> Running:
    """Return where and how the options ask a training to run."""
    from resnexus.progress import Shown, Silent

    return {
        "device": device,
        "devices": devices,
        "allow_bad_images": allow_bad_images,
        "progress": Silent() if as_json else Shown(),
    }


def report(done: Trained, *, as_json: bool) -> None:
    """Print what a training came to."""
    import json

    if as_json:
        print(json.dumps(list(done.outcome.rows), indent=1))
    else:
        last = done.outcome.rows[-1]
        found = f"{100 * last['top1']:.2f} % top-1" if "top1" in last else f"loss {last['train_loss']:.4f}"
        print(f"{found} after epoch {last['epoch']} of {done.recipe.epochs}")
        print(f"wrote {done.out / 'last.safetensors'}")
    tell_skipped(done)
