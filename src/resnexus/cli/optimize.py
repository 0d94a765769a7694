"""`resnexus optimize`: the fastest form of a network on this machine, and the rewrites behind it."""

from __future__ import annotations

from typing import Annotated

import typer


def optimize(
    network: Annotated[
        str | None, typer.Argument(help="A network of `resnexus list`: plan it on this machine, which takes minutes.")
    ] = None,
    explain: Annotated[
        str | None, typer.Option(metavar="REWRITE", help="Explain one rewrite, or all the rewrites of a NETWORK.")
    ] = None,
    list_rewrites: Annotated[bool, typer.Option("--list", help="List the rewrites.")] = False,
    batch_sizes: Annotated[str, typer.Option(help="Batch sizes to plan for, separated by commas.")] = "1",
    precision: Annotated[str, typer.Option(help="fp32 or bf16.")] = "fp32",
    image_size: Annotated[int, typer.Option(help="Pixels on a side.")] = 224,
    threads: Annotated[int | None, typer.Option(help="CPU threads; as many as PyTorch uses if left out.")] = None,
    replan: Annotated[bool, typer.Option("--replan", help="Search even if there is a plan.")] = False,
) -> None:
    """Find the fastest form of a network on this machine, check that it computes the same, and keep the plan.

    `resnexus.accelerate` opens the same plan from Python.
    """
    from resnexus.errors import ResnexusError

    if (network is not None) + (explain is not None) + list_rewrites != 1:
        raise ResnexusError("give one of: a network, --explain REWRITE, --list")
    if network is None:
        print("\n\n".join(_explanations(explain)))
        return
    import sys

    from resnexus.acceleration.accelerate import accelerate
    from resnexus.cli.compare import numbers
    from resnexus.models import create_model

    engine = accelerate(
        create_model(network).eval(),
        precision=precision,  # type: ignore[arg-type]  # checked by accelerate
        batch_sizes=numbers(batch_sizes),
        image_size=image_size,
        threads=threads,
        replan=replan,
        progress=lambda sentence: print(sentence, file=sys.stderr),
    )
    print(engine.explain())


def _explanations(name: str | None) -> list[str]:
    from resnexus.architectures.catalog import CATALOG, architecture
    from resnexus.rewrites.table import REWRITES, applicable, explain

    if name is None:
        return [explain(rewrite) for rewrite in REWRITES]
    if name.lower() in {known.lower() for known in CATALOG}:
        return [explain(rewrite) for rewrite in applicable(architecture(name))]
    return [explain(name)]
