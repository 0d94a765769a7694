"""A list of images too long for memory: Parquet shards of number, place and size, written once and then the truth.

`MANIFEST/images-000000.parquet` and so on have the columns `id` (int64, from 0 and rising by 1 through all shards),
`uri` and `size` (bytes; -1 if the store does not say). `manifest.json` is written last: without it a manifest is not
whole.
"""

from __future__ import annotations

import os
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from resnexus.claim import claimed
from resnexus.data.images import SUFFIXES
from resnexus.data.shards.archive import ShardError, listed_members
from resnexus.errors import ResnexusError, printable
from resnexus.files import check_writable, replacing
from resnexus.packages import required
from resnexus.prediction.inputs import FILE, Input, check_local, from_uri, member_uri, passed_over, portable, walked
from resnexus.prediction.stores import CHAIN
from resnexus.progress import Progress, Silent
from resnexus.records import read_json, write_json

RECORD = "manifest.json"
_BUSY = "another process lists images into"
_TOLD = 100_000
"""Images between two lines of progress: how many there will be is not known."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a manifest holds, as `manifest.json` says.

    Attributes:
        sources: what was listed.
        images: how many images.
        bytes: their sizes together, as far as they are known.
        shards: how many files.
        shard_images: images of each but the last.

    Raises:
        ResnexusError: numbers that do not fit each other.
    """

    sources: tuple[str, ...]
    images: int
    bytes: int
    shards: int
    shard_images: int

    def __post_init__(self) -> None:
        if self.shard_images < 1 or self.images < 1 or self.shards != -(-self.images // self.shard_images):
            raise ResnexusError(
                f"images={self.images}, shards={self.shards}, shard_images={self.shard_images}: they do not fit"
            )

    def rows(self, shard: int) -> range:
        """The ids in a shard, counted from 0."""
        return range(shard * self.shard_images, min((shard + 1) * self.shard_images, self.images))


def shard_name(shard: int) -> str:
    """Return the name of a shard's file."""
    return f"images-{shard:06d}.parquet"


def write_manifest(
    sources: Iterable[str | os.PathLike[str]],
    out: Path,
    *,
    shard_images: int = 10_000,
    progress: Progress | None = None,
) -> Manifest:
    """List images into Parquet shards; no more is held than one shard, a folder and the folders that it lies in.

    Args:
        sources: folders (at any depth, in natural order), tar files (which are not unpacked), and folders of what
            fsspec opens, such as `s3://bucket/prefix`; images are known by their suffix.
        out: folder of the manifest; empty, or of a manifest that is not whole.
        shard_images: images of a shard, which is the unit of work and of what is done again after a failure.
        progress: where to report; nowhere if None.

    Raises:
        ResnexusError: a source cannot be listed, there is no image, the folder holds something else or cannot be
            written, or pyarrow is not installed.
    """
    required("pyarrow")
    progress = progress or Silent()
    names = tuple(os.fspath(source) for source in sources)
    if shard_images < 1:
        raise ResnexusError(f"shard_images={shard_images}: expected at least 1")
    check_local(out, "a manifest is written to this machine; give a folder here, and copy it there afterwards")
    check_writable(out)
    with claimed(out, busy=_BUSY):
        _check_free(out)
        images, size, shards = 0, 0, 0
        passed = Counter[str]()
        rows = _rows(names, passed)
        while part := list(islice(rows, shard_images)):
            _write_shard(out / shard_name(shards), images, part)
            shards, images, size = shards + 1, images + len(part), size + sum(max(0, row[1]) for row in part)
            if images % _TOLD < shard_images:
                progress.say(f"{images:,} images in {shards:,} shards so far")
        if not images:
            raise ResnexusError(f"no images in {', '.join(map(printable, names))}: they end in {', '.join(SUFFIXES)}")
        found = Manifest(
            sources=tuple(map(printable, names)), images=images, bytes=size, shards=shards, shard_images=shard_images
        )
        write_json(found, out / RECORD)
    if passed.total():
        progress.say(passed_over(passed.total()))
    return found


def read_manifest(folder: Path) -> Manifest:
    """Return what a manifest holds.

    Raises:
        ResnexusError: there is none, it is not whole, or a shard is missing.
    """
    check_local(folder, "a manifest is read from this machine, or where it is mounted; copy it here")
    if not (folder / RECORD).is_file():
        raise ResnexusError(f"{printable(folder)} holds no {RECORD}: write it with `resnexus manifest`")
    found = read_json(Manifest, folder / RECORD)
    missing = next((shard for shard in range(found.shards) if not (folder / shard_name(shard)).is_file()), None)
    if missing is not None:
        raise ResnexusError(f"{printable(folder / shard_name(missing))} is missing: copy the manifest again")
    return found


def read_shard(path: Path) -> Iterator[Input]:
    """Yield the images of a shard as inputs; errors as for `read_rows`."""
    for number, uri, size in read_rows(path):
        yield Input(number, uri, from_uri(uri, size))


def read_rows(path: Path) -> Iterator[tuple[int, str, int]]:
    """Yield id, URI and size of the images of a shard.

    Raises:
        ResnexusError: the file cannot be read, or is no shard of a manifest.
    """
    parquet = _parquet()
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024, columns=["id", "uri", "size"]):
                for row in batch.to_pylist():
                    yield row["id"], row["uri"], row["size"]
    except (OSError, ValueError, KeyError) as error:  # pyarrow's own errors are among them
        raise ResnexusError(f"cannot read {printable(path)}: {printable(error).partition('. ')[0]}") from error


def _check_free(out: Path) -> None:
    if (out / RECORD).exists():
        raise ResnexusError(f"{printable(out)} holds a manifest: give another folder, or remove it")
    ours = {shard_name(shard) for shard in range(len(list(out.iterdir())))}
    if any(not path.name.startswith(".") and path.name not in ours for path in out.iterdir()):
        raise ResnexusError(f"{printable(out)} is not empty: give another folder for the manifest")
    for path in out.glob("images-*.parquet"):
        path.unlink()


def _rows(sources: Iterable[str], passed: Counter[str]) -> Iterator[tuple[str, int]]:
    """Yield URI and size of every image; count for every source what lies in its folders beside them."""
    for source in sources:
        if "://" in source:
            yield from _stored(source, passed)
        elif os.path.isdir(source):
            for path in walked(os.path.abspath(source)):
                if path.lower().endswith(SUFFIXES):
                    yield portable(path), file_size(path)
                else:
                    passed[source] += 1
        elif source.endswith(".tar"):
            yield from shard_members(Path(source).absolute())
        else:
            raise ResnexusError(f"{printable(source)}: expected a folder, a .tar file, or an address such as s3://...")


def file_size(path: str) -> int:
    """Return the bytes of a file, -1 if the system does not say."""
    try:
        return os.stat(path).st_size
    except OSError:  # a link to nothing: a record will say so
        return -1


def shard_members(shard: Path) -> Iterator[tuple[str, int]]:
    """Yield URI and size of the images in a tar shard, which is not unpacked.

    Raises:
        ShardError: it cannot be read.
    """
    try:
        for member in listed_members(shard):
            if member.name.lower().endswith(SUFFIXES):
                yield member_uri(shard, member.offset_data, printable(member.name)), member.size
    except (OSError, tarfile.TarError) as error:
        raise ShardError(f"cannot read {printable(shard)}: {printable(error)}") from error


def _stored(address: str, passed: Counter[str]) -> Iterator[tuple[str, int]]:
    """List a folder of what fsspec opens, one level at a time; its stores raise whatever their services answer.

    No listing is kept: fsspec would hold those of all folders as long as the process lives.
    """
    if CHAIN in address:
        raise ResnexusError(
            f"{printable(address)} holds several addresses: images in it have none of their own; copy them to a folder"
        )
    fsspec = required("fsspec")
    try:
        system, root = fsspec.core.url_to_fs(address, use_listings_cache=False)
        for entry in _files(system, root):
            if not entry["name"].lower().endswith(SUFFIXES):
                passed[address] += 1
            else:
                uri, size = system.unstrip_protocol(entry["name"]), entry.get("size")
                # fsspec does not encode the path of a file, as a URI of a manifest has it behind file://
                yield portable(entry["name"]) if uri.startswith(FILE) else uri, -1 if size is None else int(size)
    except Exception as error:
        if isinstance(error, ResnexusError):
            raise
        raise ResnexusError(f"cannot list {printable(address)}: {printable(error)}") from error


def _files(system: Any, folder: str) -> Iterator[Mapping[str, Any]]:
    """Yield what fsspec says of the files in a folder at any depth: by name, and those of a folder before its folders.

    Its own `walk` passes over folders that the store does not list, and so would lose what is in them without a word.
    """
    entries = sorted(system.ls(folder, detail=True), key=lambda entry: str(entry["name"]))
    system.invalidate_cache()  # Hugging Face's store keeps them whatever it is told
    inside = [entry for entry in entries if entry["name"].rstrip("/") != folder]  # some name the folder itself, too
    yield from (entry for entry in inside if entry["type"] != "directory")
    for name in [entry["name"].rstrip("/") for entry in inside if entry["type"] == "directory"]:
        yield from _files(system, name)


def _write_shard(path: Path, first: int, rows: list[tuple[str, int]]) -> None:
    pa, parquet = required("pyarrow"), _parquet()
    columns = {
        "id": pa.array(range(first, first + len(rows)), pa.int64()),
        "uri": pa.array([uri for uri, _ in rows], pa.string()),
        "size": pa.array([size for _, size in rows], pa.int64()),
    }
    with replacing(path) as temporary:
        parquet.write_table(pa.table(columns), temporary, compression="zstd")


def _parquet() -> Any:
    required("pyarrow")
    return required("pyarrow.parquet")
