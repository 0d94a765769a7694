"""What lies where in one tar shard; nothing is unpacked, and names are only names.

As WebDataset has it, files that follow each other under one key are one sample; the key is the path up to the first dot
of the file's own name. A sample has an image, by its suffix, and `KEY.cls` with the number of its class; files of other
suffixes, folders, and names such as `__index__` are passed over.
"""

from __future__ import annotations

import re
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from resnexus.data.images import SUFFIXES
from resnexus.errors import ResnexusError, printable

BLOCK = 512
"""Bytes of a header, which stands before the content of every file."""
_NAME = re.compile(r"((?:.*/)?[^./][^./]*)\.([^/]*)", re.DOTALL)
_LONGEST_LABEL = 20


class ShardError(ResnexusError):
    """A tar shard that cannot be used; the message names it and what is wrong."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """An image in a shard.

    Attributes:
        name: of the image's file in the shard.
        label: number of its class.
        offset: of the content's first byte in the shard.
        size: of the content in bytes.
        crc32: of the content; -1 if it was not read.
    """

    name: str
    label: int
    offset: int
    size: int
    crc32: int = -1


def scan(shard: Path, *, checksums: bool = False) -> list[Sample]:
    """List the images of a shard, in their order. Only headers and labels are read, or everything for the checksums.

    Raises:
        ShardError: the file cannot be read, is no tar or compressed, is damaged or truncated, or holds a sample without
            one image or without a class, twice the same file, or a link in an image's place.
    """
    try:
        with open(shard, "rb") as file, tarfile.open(fileobj=file, mode="r:", errors="surrogateescape") as tar:
            try:
                samples = list(_samples(shard, tar, file, checksums))
            except ShardError:
                for _ in _members(tar):  # what a sample lacks may be behind a cut, and then that is the fault
                    pass
                _check_end(shard, tar, file)
                raise
            _check_end(shard, tar, file)
            return samples
    except OSError as error:
        raise ShardError(f"cannot read {printable(shard)}: {error.strerror or error}") from error
    except tarfile.ReadError as error:
        hint = "is it compressed? Unpack it to a plain .tar" if "end" not in str(error) else "copy it again"
        raise ShardError(f"{printable(shard)} is damaged, truncated or no tar ({printable(error)}); {hint}") from error
    except (tarfile.TarError, ArithmeticError, RecursionError, ValueError) as error:
        if isinstance(error, ResnexusError):
            raise
        raise ShardError(f"{printable(shard)} is damaged ({printable(error)}); copy it again") from error


def listed_members(shard: Path) -> Iterator[tarfile.TarInfo]:
    """Yield the plain files of a shard, whatever they are; only headers are read.

    Raises:
        OSError: the shard cannot be read.
        tarfile.TarError: it is no tar or compressed.
        ShardError: it is truncated.
    """
    with open(shard, "rb") as file, tarfile.open(fileobj=file, mode="r:", errors="surrogateescape") as tar:
        yield from (member for member in _members(tar) if member.isreg() and not member.issparse())
        _check_end(shard, tar, file)


def _samples(shard: Path, tar: tarfile.TarFile, file: IO[bytes], checksums: bool) -> Iterator[Sample]:
    key, files = "", dict[str, tarfile.TarInfo]()
    for member in _members(tar):
        match = _NAME.fullmatch(member.name)
        if match is None or member.isdir() or match[1].startswith("__"):
            continue
        suffix = match[2].lower()
        if match[1] != key:
            if files:
                yield _sample(shard, key, files, file, checksums)
            key, files = match[1], {}
        if suffix in files:
            raise ShardError(f"{_shown(shard, member.name)}: twice in the shard; every key must be there once")
        if suffix == "cls" or f".{suffix}" in SUFFIXES:
            if not member.isreg() or member.issparse():
                raise ShardError(f"{_shown(shard, member.name)} is no plain file; write the shard without links")
            files[suffix] = member
    if files:
        yield _sample(shard, key, files, file, checksums)


def _members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while (member := tar.next()) is not None:
        tar.members.clear()  # type: ignore[attr-defined]  # it would keep a record of every file
        if member.size < 0:
            raise tarfile.ReadError("a negative size")
        yield member


def _sample(shard: Path, key: str, files: dict[str, tarfile.TarInfo], file: IO[bytes], checksums: bool) -> Sample:
    label = files.pop("cls", None)
    if label is None or len(files) != 1:
        found = "no class" if label is None else "no image" if not files else f"{len(files)} images"
        raise ShardError(f"{_shown(shard, key)} has {found}; expected {key}.jpg, or another image, and {key}.cls")
    (image,) = files.values()
    return Sample(
        name=image.name,
        label=_label(shard, label, file),
        offset=image.offset_data,
        size=image.size,
        crc32=zlib.crc32(_content(image, file)) if checksums else -1,
    )


def _label(shard: Path, member: tarfile.TarInfo, file: IO[bytes]) -> int:
    text = _content(member, file, _LONGEST_LABEL).strip()
    if not text.isdigit() or member.size > _LONGEST_LABEL or int(text) >= 2**31:
        shown = printable(text.decode("utf-8", "backslashreplace"))
        raise ShardError(f"{_shown(shard, member.name)} holds {shown!r}; expected the number of a class, from 0")
    return int(text)


def _content(member: tarfile.TarInfo, file: IO[bytes], limit: int | None = None) -> bytes:
    """Read the content of a file, or its first bytes; the position that `tarfile` reads on from is its own."""
    file.seek(member.offset_data)
    size = member.size if limit is None else min(member.size, limit)
    content = file.read(size)
    if len(content) < size:
        raise tarfile.ReadError("unexpected end of data")
    return content


def _check_end(shard: Path, tar: tarfile.TarFile, file: IO[bytes]) -> None:
    """Check that the shard ends as a tar does: `tarfile` takes a damaged header, and none, for the end."""
    file.seek(tar.offset)
    block = file.read(BLOCK)
    if len(block) < BLOCK or any(block):
        what = "truncated" if len(block) < BLOCK else "damaged"
        raise ShardError(f"{printable(shard)} is {what} at byte {tar.offset:,}; copy it again")


def _shown(shard: Path, name: str) -> str:
    return f"{printable(shard)}/{printable(name)}"
