"""`resnexus manifest`: a list of images for `resnexus predict`, of any length."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from resnexus.cli.options import Json


def manifest(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SOURCE", help="Folders, .tar files, or folders that fsspec opens (s3://...)."),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the manifest.")],
    shard_images: Annotated[
        int, typer.Option(help="Images of a shard: what is predicted, and after a failure begun again, at a time.")
    ] = 10_000,
    json_output: Json = False,
) -> None:
    """List images into Parquet files of number, place and size, which `resnexus predict --manifest` takes.

    Images are known by their suffix; nothing is opened or unpacked, and held are the names of one folder at a time.
    """
    from resnexus.prediction.manifest import write_manifest
    from resnexus.progress import Shown, Silent
    from resnexus.records import to_json

    found = write_manifest(sources, out, shard_images=shard_images, progress=Silent() if json_output else Shown())
    if json_output:
        print(to_json(found))
        return
    print(f"{found.images:,} images, {found.bytes / 1e6:,.1f} MB, in {found.shards:,} shards; {out}")
