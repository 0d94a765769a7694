"""`resnexus shard`: a data set as tar files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from resnexus.cli.options import Json

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def shard(
    data: Annotated[str, typer.Argument(metavar="DATA", help="What `resnexus train --data` takes.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the shards; started again, it goes on.")],
    size: Annotated[str, typer.Option(help="Largest shard: 1GB, 500MB, 64MiB.")] = "1GB",
    images_per_shard: Annotated[
        int | None, typer.Option(help="Most images of a shard; any number if left out.")
    ] = None,
    json_output: Json = False,
) -> None:
    """Write images as WebDataset's tar shards, with an index to read them in any order.

    OUT gets train-000000.tar and so on, val-000000.tar and so on, classes.json and the indices; `resnexus train --data
    OUT` trains as on the images themselves. The images are copied as they are, in their order.
    """
    from resnexus.data.datasets import open_dataset
    from resnexus.data.shards.writing import write_shards
    from resnexus.progress import Shown, Silent
    from resnexus.records import to_json

    progress = Silent() if json_output else Shown()
    limit = byte_count(size)
    written = write_shards(
        open_dataset(data, progress=progress), out, shard_bytes=limit, shard_images=images_per_shard, progress=progress
    )
    if json_output:
        print(to_json(written))
        return
    train, val = written.images
    total = sum(shard.bytes for shard in written.shards)
    print(
        f"{len(written.shards)} shards, {total / 1e9:.2f} GB: {train} images to train and {val} to evaluate on; {out}"
    )


def byte_count(text: str) -> int:
    """Read a number of bytes, such as 1GB (10^9) or 64MiB (2^20).

    Raises:
        ResnexusError: it is none.
    """
    from resnexus.errors import ResnexusError

    match = re.fullmatch(r"(\d{1,12}(?:\.\d{1,6})?)\s*([A-Za-z]*)", text.strip())
    if match is None or match[2].upper() not in _UNITS:
        raise ResnexusError(f"size {text!r}: expected a number of bytes, such as 1GB, 500MB or 64MiB")
    return int(float(match[1]) * _UNITS[match[2].upper()])
