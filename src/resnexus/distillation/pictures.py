"""The pictures of a pool: any number of them, listed one after the other as often as they are asked for."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

from resnexus.data.error_codes import ErrorCode
from resnexus.errors import ResnexusError, unknown
from resnexus.prediction.inputs import FILE, Address, Input, Listing, Wanted, from_uri, portable
from resnexus.prediction.job import Countable
from resnexus.prediction.manifest import file_size, read_manifest, read_rows, shard_members, shard_name


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture of a pool.

    Attributes:
        id: its number, from 0.
        uri: its path, address, or `SHARD.tar#OFFSET:NAME`.
        size: of the file in bytes; -1 if nobody says.
        error: why the teacher has no answer, an `ErrorCode`; None if it has one.

    Raises:
        ResnexusError: another error code.
    """

    id: int
    uri: str
    size: int = -1
    error: str | None = None

    def __post_init__(self) -> None:
        if self.error is not None and self.error not in tuple(ErrorCode):
            raise unknown("error code", self.error, [code.value for code in ErrorCode])

    @property
    def source(self) -> Wanted:
        """Where it lies."""
        return from_uri(self.uri, self.size)


class Pool(Protocol):
    """Pictures, numbered from 0, in the same order every time."""

    @property
    def ignored(self) -> int:
        """Files beside them that are no images by their names, after a listing."""
        ...

    def __iter__(self) -> Iterator[Picture]: ...


class Listed:
    """What is named on a command line: files, folders, patterns, addresses, and tar files for the images in them.

    Args:
        inputs: a list of such, or inputs that are listed already, such as `resnexus.prediction.inputs.Lines`.

    Raises:
        ResnexusError: as for `Listing`; or while it is iterated, a picture in memory, which nobody could find again.
    """

    def __init__(self, inputs: Iterable[str | os.PathLike[str]] | Countable) -> None:
        self._inputs: Countable = inputs if hasattr(inputs, "ignored") else Listing(inputs)  # type: ignore[assignment]

    @property
    def ignored(self) -> int:
        """Files in the folders that are no images by their names, after a listing."""
        return self._inputs.ignored

    def __iter__(self) -> Iterator[Picture]:
        number = 0
        for found in self._inputs:
            for uri, size in _places(found):
                yield Picture(id=number, uri=uri, size=size)
                number += 1


class Manifested:
    """The images of a manifest.

    Args:
        folder: that `resnexus manifest` wrote.

    Raises:
        ResnexusError: there is none, or it is not whole.
    """

    ignored = 0

    def __init__(self, folder: Path) -> None:
        self._folder, self._manifest = folder, read_manifest(folder)

    def __iter__(self) -> Iterator[Picture]:
        for shard in range(self._manifest.shards):
            for number, uri, size in read_rows(self._folder / shard_name(shard)):
                yield Picture(id=number, uri=uri, size=size)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What tells a pool from another.

    Attributes:
        pictures: how many.
        digest: SHA-256 over number, place and size of every one, in hexadecimal.
    """

    pictures: int
    digest: str


def summary(pool: Pool) -> Summary:
    """List a pool once, and say what it is; no picture is opened.

    Raises:
        ResnexusError: there is no picture, or something cannot be listed.
    """
    digest, count = hashlib.sha256(), 0
    for picture in pool:
        digest.update(f"{picture.id}\0{picture.uri}\0{picture.size}\n".encode("utf-8", "backslashreplace"))
        count += 1
    if not count:
        raise ResnexusError("no picture: the list is empty")
    return Summary(pictures=count, digest=digest.hexdigest())


def in_shards(pool: Pool, size: int) -> Iterator[tuple[int, tuple[Picture, ...]]]:
    """Yield the number of every shard with its pictures; one shard is held at a time."""
    pictures, shard = iter(pool), 0
    while part := tuple(islice(pictures, size)):
        yield shard, part
        shard += 1


def _places(found: Input) -> Iterator[tuple[str, int]]:
    """Yield URI and size of what an input stands for."""
    if isinstance(found.source, Address):
        url = found.source.url
        yield portable(url.removeprefix(FILE)) if url.startswith(FILE) else url, -1
    elif not isinstance(found.source, (str, os.PathLike)):
        raise ResnexusError(f"{found.name}: a pool consists of files and addresses, which can be found again")
    else:
        path = os.path.abspath(os.fsdecode(found.source))
        if path.endswith(".tar"):
            yield from shard_members(Path(path))
        else:
            yield portable(path), file_size(path)
