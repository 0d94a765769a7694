"""What is to be looked at, one after the other: files, folders, patterns, addresses, images in memory."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from glob import iglob
from pathlib import Path
from typing import IO, Any, TypeAlias
from urllib.parse import quote, unquote_to_bytes

import numpy as np
from PIL import Image

from resnexus.data.folders import natural
from resnexus.data.images import SUFFIXES
from resnexus.data.preprocess import AnyImage
from resnexus.data.sources import name_of
from resnexus.errors import ResnexusError, printable
from resnexus.report.printing import counted

_ADDRESS = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")
_ADDRESS_AS_PATH = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+:/")
_MEMBER = re.compile(r"(.*\.tar)#(\d+):(.*)", re.DOTALL)
FILE = "file://"
_PATTERN = ("*", "?", "[")


@dataclass(frozen=True)
class Address:
    """An image that lies elsewhere: an http(s) URL, or in a store that fsspec opens."""

    url: str


@dataclass(frozen=True)
class Member:
    """An image in a tar shard that is not unpacked.

    Attributes:
        shard: path of the tar file.
        offset: of the content's first byte in it.
        size: of the content in bytes.
    """

    shard: str
    offset: int
    size: int


Wanted: TypeAlias = AnyImage | Address | Member


@dataclass(frozen=True, eq=False)
class Input:
    """One thing to look at.

    Attributes:
        id: its number.
        name: what records call it.
        source: the image, or where it is.
    """

    id: int
    name: str
    source: Wanted


class Listing:
    """Inputs in the order in which they are named; listed anew whenever it is iterated, so that none is kept.

    A folder stands for the images in it at any depth, by their suffix and in natural order; names that begin with a dot
    are passed over, and links to folders. A pattern (`*`, `?`, `[...]`, `**` for any depth) stands for what it finds,
    in natural order. Any other path is one input, whatever it is.

    Args:
        items: paths, patterns, http(s) and fsspec addresses, PIL images, uint8 arrays, bytes or binary files.

    Attributes:
        ignored: files that are no images by their suffix, and links to folders, in the folders that were listed so far.

    Raises:
        ResnexusError: nothing is named; and while it is iterated, a folder or pattern without any image.
    """

    def __init__(self, items: Iterable[Any]) -> None:
        self.items = tuple(items)
        self.ignored = 0
        if not self.items:
            raise ResnexusError("no input: name files, folders, patterns or addresses")

    def __iter__(self) -> Iterator[Input]:
        self.ignored = 0
        number = 0
        for item in self.items:
            for name, source in self._expanded(item):
                yield Input(number, name, source)
                number += 1

    def _expanded(self, item: Any) -> Iterator[tuple[str, Wanted]]:
        if not isinstance(item, (str, os.PathLike)):
            if not isinstance(item, (bytes, np.ndarray, Image.Image)) and not hasattr(item, "read"):
                raise ResnexusError(
                    f"input of type {type(item).__name__}: expected a path, an address, a PIL image, a uint8 array, "
                    "the bytes of a file or a binary file"
                )
            yield name_of(item), item
            return
        text = os.fsdecode(os.fspath(item))
        if is_address(text):
            yield text, Address(text)
        elif os.path.isdir(text):
            yield from self._images(text)
        elif any(sign in text for sign in _PATTERN) and not os.path.lexists(text):
            yield from self._found(text)
        else:
            yield text, text

    def _found(self, pattern: str) -> Iterator[tuple[str, Wanted]]:
        paths = sorted(iglob(pattern, recursive=True), key=natural)
        if "**" in pattern:  # which finds what is in the folders, too
            paths = [path for path in paths if not os.path.isdir(path)]
        if not paths:
            raise ResnexusError(f"{printable(pattern)}: the pattern finds nothing")
        for path in paths:
            if os.path.isdir(path):
                yield from self._images(path)
            else:
                yield path, path

    def _images(self, folder: str) -> Iterator[tuple[str, Wanted]]:
        some = False
        for path in walked(folder):
            if path.lower().endswith(SUFFIXES):
                some = True
                yield path, path
            else:
                self.ignored += 1
        if not some:
            raise ResnexusError(f"{printable(folder)}: no images in it; they end in {', '.join(SUFFIXES)}")


def walked(folder: str) -> Iterator[str]:
    """Yield the files in a folder at any depth, in natural order, and keep no more than the names of one folder.

    A link to a folder is not followed, since it may lead back: it is yielded as a file is.

    Raises:
        ResnexusError: a folder cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            found = sorted((natural(entry.name), entry.is_dir(follow_symlinks=False)) for entry in entries)
    except OSError as error:
        raise ResnexusError(f"cannot read {printable(folder)}: {error.strerror or error}; make it readable") from error
    for (_, name), is_folder in found:
        path = os.path.join(folder, name)
        if name.startswith("."):
            continue
        if is_folder:
            yield from walked(path)
        else:
            yield path


def passed_over(count: int) -> str:
    """Return the sentence that counts what lies in folders and is no input."""
    return f"passed over {counted(count, 'file')} in the folders: no images by their names, or links to folders"


def is_address(text: str) -> bool:
    """Whether a text is an address, `SCHEME://...`, and no path."""
    return _ADDRESS.match(text) is not None


def check_local(place: str | os.PathLike[str], use: str) -> None:
    """See that what is to be a path is no address: nothing is written to stores, and no folder is read from them.

    Args:
        place: as it was given; a `Path` of an address has lost one of its slashes.
        use: what is done there, and what to do instead, for the error.

    Raises:
        ResnexusError: it is an address.
    """
    text = os.fsdecode(os.fspath(place))
    if _ADDRESS_AS_PATH.match(text):
        raise ResnexusError(f"{printable(re.sub(':/+', '://', text, count=1))} is an address: {use}")


class Lines:
    """The lines of a text stream as inputs: they are spooled to a temporary file, so that they can be counted.

    Args:
        stream: binary; one path, pattern or address on a line.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._spooled = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as this
        self.ignored = 0
        for line in stream:
            self._spooled.write(line)

    def close(self) -> None:
        """Remove the temporary file."""
        self._spooled.close()

    def __iter__(self) -> Iterator[Input]:
        self._spooled.seek(0)
        self.ignored, number = 0, 0
        for line in self._spooled:
            text = os.fsdecode(line.rstrip(b"\r\n"))
            if not text:
                continue
            listing = Listing([text])
            for found in listing:
                yield Input(number, found.name, found.source)
                number += 1
            self.ignored += listing.ignored


def from_uri(uri: str, size: int) -> Wanted:
    """Return what a URI of a manifest stands for: a path, an address, or `SHARD.tar#OFFSET:NAME`.

    Behind `file://`, a path is percent-encoded, up to the `#`.
    """
    if uri.startswith(FILE):
        place, _, inside = uri.removeprefix(FILE).partition("#")
        offset, colon, _ = inside.partition(":")
        if colon and offset.isdecimal():
            return Member(_decoded(place), int(offset), size)
        return _decoded(uri.removeprefix(FILE))
    if is_address(uri):
        return Address(uri)
    match = _MEMBER.fullmatch(uri)
    return Member(match[1], int(match[2]), size) if match else uri


def portable(path: str) -> str:
    """Return the URI of a file: its path, or a file:// address where the path would not lead back to it.

    That is a path that is no UTF-8, which Parquet's text must be, and one that looks like an image in a shard.
    """
    if from_uri(path, 0) == path and not any("\udc80" <= char <= "\udcff" for char in path):
        return path
    return FILE + quote(os.fsencode(os.path.abspath(path)))


def member_uri(shard: Path, offset: int, name: str) -> str:
    """Return the URI of an image in a tar shard."""
    return f"{portable(os.fspath(shard))}#{offset}:{name}"


def _decoded(path: str) -> str:
    return os.fsdecode(unquote_to_bytes(path))
