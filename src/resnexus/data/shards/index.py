"""Where every image of a set of shards lies: made by one scan, and kept beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from resnexus.data.shards.archive import BLOCK, Sample, scan
from resnexus.errors import ResnexusError, printable
from resnexus.files import replacing
from resnexus.progress import Progress
from resnexus.records import from_json, to_json

Array = np.ndarray[Any, np.dtype[Any]]

COLUMNS = ("shard", "offset", "size", "label", "crc32", "name_start", "name_stop")


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A tar file of a data set.

    Attributes:
        name: of the file.
        bytes: its size.
        sha256: of its content; empty if it was not read.
    """

    name: str
    bytes: int
    sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class Shards:
    """The tar files that an index is of; it stands in the index as JSON."""

    shards: tuple[Shard, ...]


class Place(NamedTuple):
    """Where one image lies: shard, offset and size of its content, and the content's CRC-32, -1 if it is not known."""

    shard: Shard
    offset: int
    size: int
    crc32: int


@dataclass(frozen=True, kw_only=True, eq=False)
class ShardIndex:
    """The images of a set of shards, as columns: processes that are forked share them, and millions take little room.

    Attributes:
        shards: the tar files.
        columns: `COLUMNS`, each (images,) int64: number of the shard, offset and size of the content, class, CRC-32 of
            the content or -1, and where the image's name stands in `names`.
        names: of the files in the shards, one behind the other, UTF-8.
    """

    shards: tuple[Shard, ...]
    columns: Mapping[str, Array]
    names: Array

    def __len__(self) -> int:
        return len(self.columns["label"])

    @property
    def labels(self) -> Array:
        """Class of every image, (images,) int64."""
        return self.columns["label"]

    def name(self, image: int) -> str:
        """Return the name of an image in its shard."""
        start, stop = int(self.columns["name_start"][image]), int(self.columns["name_stop"][image])
        return self.names[start:stop].tobytes().decode("utf-8", "surrogateescape")

    def place(self, image: int) -> Place:
        """Return where an image lies."""
        shard, offset, size, crc32 = (int(self.columns[name][image]) for name in ("shard", "offset", "size", "crc32"))
        return Place(self.shards[shard], offset, size, crc32)

    def part(self, images: Array) -> ShardIndex:
        """Return the index of some of the images, by their numbers."""
        return replace(self, columns={name: column[images] for name, column in self.columns.items()})


def assembled(shards: Sequence[tuple[Shard, Iterable[Sample]]]) -> ShardIndex:
    """Put the index of several shards together, in their order."""
    rows, names = list[tuple[int, ...]](), bytearray()
    for number, (_, samples) in enumerate(shards):
        for sample in samples:
            start = len(names)
            names += sample.name.encode("utf-8", "surrogateescape")
            rows.append((number, sample.offset, sample.size, sample.label, sample.crc32, start, len(names)))
    table = np.array(rows, np.int64).reshape(len(rows), len(COLUMNS))
    return ShardIndex(
        shards=tuple(shard for shard, _ in shards),
        columns={name: np.ascontiguousarray(table[:, place]) for place, name in enumerate(COLUMNS)},
        names=np.frombuffer(bytes(names), np.uint8),
    )


def find_index(path: Path, files: Sequence[Path], progress: Progress) -> ShardIndex:
    """Return the index of shards: the one that is kept at `path`, if it is of these files, or one made by a scan.

    What is scanned is kept, if the folder can be written and there are shards.

    Args:
        path: of the index.
        files: the shards, in their order.
        progress: told about a scan, and why an index that is there is not used.

    Raises:
        ShardError: a shard cannot be used.
    """
    shards = [Shard(name=file.name, bytes=file.stat().st_size) for file in files]
    if not files:
        return assembled([])
    if path.is_file():
        try:
            kept = read_index(path)
        except ResnexusError as error:
            progress.say(f"{error}; the shards are scanned anew")
        else:
            if [(shard.name, shard.bytes) for shard in kept.shards] == [(shard.name, shard.bytes) for shard in shards]:
                return kept
            progress.say(f"{printable(path)} is of other shards than are there now; they are scanned anew")
    scanned = list[tuple[Shard, list[Sample]]]()
    with progress.stage(f"indexing {printable(path.parent)}", len(files)) as advance:
        for shard, file in zip(shards, files, strict=True):
            scanned.append((shard, scan(file)))
            advance()
    index = assembled(scanned)
    try:
        write_index(index, path)
    except ResnexusError as error:
        progress.say(f"{error}; the shards will be scanned again next time")
    return index


def write_index(index: ShardIndex, path: Path) -> None:
    """Write an index as safetensors, whole or not at all.

    Raises:
        ResnexusError: the file cannot be written.
    """
    from safetensors.numpy import save_file

    with replacing(path) as temporary:
        save_file(
            {"names": index.names, **index.columns},
            temporary,
            metadata={"shards": to_json(Shards(shards=index.shards))},
        )


def read_index(path: Path) -> ShardIndex:
    """Read what `write_index` wrote.

    Raises:
        ResnexusError: the file cannot be read, or is no index.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
    except (SafetensorError, OSError) as error:
        raise ResnexusError(f"{printable(path)} is no index of shards: {printable(error)}") from error
    names = tensors.pop("names", np.empty(0))
    shards = from_json(Shards, metadata.get("shards", ""), str(path)).shards
    index = ShardIndex(shards=shards, columns=tensors, names=names)
    if not _is_sound(index):
        raise ResnexusError(f"{printable(path)} is no index of shards: its columns do not fit")
    return index


def _is_sound(index: ShardIndex) -> bool:
    """Whether all columns are there and every number in them points to something."""
    columns = index.columns
    if columns.keys() != set(COLUMNS) or index.names.dtype != np.uint8:
        return False
    if any(column.dtype != np.int64 or column.shape != columns["label"].shape[:1] for column in columns.values()):
        return False
    shard, offset, size, label, _, start, stop = (columns[name] for name in COLUMNS)
    if not ((shard >= 0) & (shard < len(index.shards))).all():
        return False
    bytes_ = np.array([shard.bytes for shard in index.shards], np.int64)
    inside = (offset >= BLOCK) & (size >= 0) & (size <= bytes_[shard]) & (offset <= bytes_[shard] - size)
    named = (start >= 0) & (start <= stop) & (stop <= len(index.names))
    return bool((inside & named & (label >= 0)).all())
