"""What several commands share: options, each with one name, meaning and text, and how what is typed is read."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

COMMA = "separated by commas"
PRECISIONS = "fp32|bf16|fp16"
READING = "Processes that read images, 0 for none beside the command's own"
TEACHER = "NETWORK[:TAG]|FILE"
DATA = "Class folders, lists, shards, cifar10:FOLDER, hf:NAME, see docs/data.md; or digits."
_DEVICE = "Where to compute: cpu; gpu or cuda, the first GPU; cuda:1, a GPU by its number; auto, a GPU if there is one."
_LABELS = (
    "What the class folders are called: names, wnid, index, imagenet-v2, imagenet-a, imagenet-r or imagenet-sketch; "
    "recognised if left out."
)
_MANIFEST = "A manifest that `resnexus manifest` wrote, in place of what is named on the command line; OUT goes on."
_MODEL = "A published network, NETWORK or NETWORK:TAG, a checkpoint's name, or a file of weights."
_PRIVATE = "Addresses may lead into private networks and to this machine."
_WEIGHTS = "For a network by its name alone: a tag, a file of weights, or random to try it out without any."

AllowBadImages = Annotated[bool, typer.Option("--allow-bad-images", help="Train past images that cannot be read.")]
ArchitectureName = Annotated[
    str | None,
    typer.Option(metavar="NETWORK", help="The network of a file of weights, where names and shapes cannot tell."),
]
BatchSize = Annotated[int, typer.Option(help="Images per forward pass.")]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Change a setting of the recipe; as often as needed."),
]
Device = Annotated[str, typer.Option(metavar="auto|cpu|gpu|cuda:N", help=_DEVICE)]
Devices = Annotated[
    int, typer.Option(metavar="COUNT", help="How many GPUs of this machine train, or processes on the CPU.")
]
EngineName = Annotated[
    str,
    typer.Option(
        metavar="plain|accelerated",
        help="plain: PyTorch as it is; accelerated: the fastest form on this CPU, which takes minutes to find once.",
    ),
]
Features = Annotated[
    str | None,
    typer.Option(metavar="MAPS", help=f"Feature maps instead of logits, {COMMA}: 0 the stem's, 1 to 4 the stages'."),
]
ImageSize = Annotated[int | None, typer.Option(help="Pixels on a side; the network's own if left out.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON in place of text.")]
Labels = Annotated[str | None, typer.Option(help=_LABELS)]
ManifestFolder = Annotated[Path | None, typer.Option(help=_MANIFEST)]
MemoryLimit = Annotated[int, typer.Option(help="MiB that a worker may take besides what it starts with.")]
Model = Annotated[str, typer.Argument(metavar="MODEL|FILE", help=_MODEL)]
MultiLabel = Annotated[
    bool | None,
    typer.Option(
        "--multi-label/--single-label",
        help="Whether several classes may be right at once; what the record of the weights says if left out.",
    ),
]
OutputStride = Annotated[
    int | None, typer.Option(help="8 or 16: the last maps as large as at that stride, by dilation.")
]
Precision = Annotated[
    str, typer.Option(metavar=PRECISIONS, help="What the network computes in; fp16 with the plain engine alone.")
]
PrivateAddresses = Annotated[bool, typer.Option("--private-addresses", help=_PRIVATE)]
RecipeName = Annotated[
    str,
    typer.Option(
        "--recipe",
        metavar="NAME|FILE",
        help="A recipe by its name, of which `resnexus train --list-recipes` has all, or a YAML file.",
    ),
]
StartWeights = Annotated[
    str | None,
    typer.Option(metavar="TAG|FILE|random", help="To start from: imagenet, ssld, or a file; random if left out."),
]
Threads = Annotated[int | None, typer.Option(help="CPU threads; as many as PyTorch uses if left out.")]
TimeLimit = Annotated[float, typer.Option(help="Seconds that a worker gets for one image.")]
UsableWorkers = Annotated[int | None, typer.Option(help=f"{READING}; as many as usable cores if left out.")]
Weights = Annotated[str | None, typer.Option(metavar="TAG|FILE|random", help=_WEIGHTS)]
Workers = Annotated[int, typer.Option(help=f"{READING}.")]


def names(text: str) -> list[str]:
    """Read names separated by commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def numbers(text: str, option: str) -> list[int]:
    """Read whole numbers separated by commas.

    Args:
        text: as it was typed.
        option: whose value it is, as it is typed.

    Raises:
        ResnexusError: they are none.
    """
    from resnexus.errors import ResnexusError

    try:
        return [int(part) for part in names(text)]
    except ValueError:
        raise ResnexusError(f"{option} {text!r}: expected whole numbers {COMMA}, such as 1,4,8") from None


def command_line() -> str:
    """Return the command as it was typed."""
    import shlex
    import sys

    return shlex.join(["resnexus", *sys.argv[1:]])


def standard_input() -> IO[bytes]:
    """Return what `-` reads.

    Raises:
        ResnexusError: whoever started the command closed it.
    """
    import sys

    from resnexus.errors import ResnexusError

    if sys.stdin is None:
        raise ResnexusError("-: standard input is closed; write the list into it, or name the inputs")
    return sys.stdin.buffer


def console() -> Console:
    """Return what prints tables on standard output: as wide as the terminal, and 120 characters in a file or a pipe."""
    import sys

    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 120)


def refuse_others(context: typer.Context, accepted: Collection[str], beside: str) -> None:
    """Refuse every option and argument that was typed and is not accepted beside another.

    Args:
        context: of the command.
        accepted: their names as the command's function has them.
        beside: the option that the others have no effect beside, as it is typed.

    Raises:
        ResnexusError: names the first.
    """
    from resnexus.errors import ResnexusError

    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name not in accepted and source is not None and source.name == "COMMANDLINE":
            raise ResnexusError(f"{parameter.opts[0]} has no effect with {beside}: leave it out")
