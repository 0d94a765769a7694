"""`resnexus fetch`: bring published weights to this machine."""

from __future__ import annotations

from typing import Annotated

import typer


def fetch(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NETWORK[:TAG]", help="Networks with the tag imagenet or ssld, or names of checkpoints."
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All 27 checkpoints.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Download nothing; say what is missing.")] = False,
    keep_source: Annotated[bool, typer.Option("--keep-source", help="Keep the published file too.")] = False,
) -> None:
    """Fetch published weights, check them, and convert them once; prints where they lie.

    RESNEXUS_HOME chooses the folder, RESNEXUS_MIRROR another server or folder (https, http or file).
    """
    from resnexus.errors import ResnexusError
    from resnexus.progress import Shown
    from resnexus.series.checkpoints import checkpoints
    from resnexus.weights.store import fetch as bring
    from resnexus.weights.store import find_checkpoint

    if bool(names) == everything:
        raise ResnexusError("name checkpoints, or --all for the 27; `resnexus list --pretrained` prints them")
    # A mistake in the last name must not wait for the first download.
    records = [find_checkpoint(name) for name in names] if names else list(checkpoints().values())
    progress = Shown()
    for record in records:
        print(bring(record, offline=offline or None, progress=progress, keep_source=keep_source))
