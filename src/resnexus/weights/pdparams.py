"""Read the weight files of Paddle without Paddle, and without running any code that a file may hold."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BufferedReader
from typing import Any

import numpy as np

from resnexus.errors import printable
from resnexus.weights.prefixes import prefix_of
from resnexus.weights.stored import MAX_AXES, Contents, Span, StoredArray, shown
from resnexus.weights.unpickling import PdparamsError, unpickle

__all__ = ["PdparamsError", "read_pdparams"]

Array = np.ndarray[Any, np.dtype[Any]]

NAME_TABLE = "StructuredToParameterName@@"
"""Key under which Paddle keeps its internal parameter names; nothing needs them."""

SLICE_TABLE = "UnpackBigParamInfor@@"
"""Key under which Paddle lists the arrays it has cut into slices, for protocols 2 and 3."""

TEXT_CHUNK = 1 << 15
"""Bytes of text that are decoded at a time: few enough for the cache, and for memory that is used again and again."""


@dataclass(frozen=True)
class _Entry:
    """One array of the state, in one part or in slices."""

    parts: tuple[StoredArray, ...]
    shape: tuple[int, ...]


def read_pdparams(path: str | os.PathLike[str], prefix: str | None = None) -> dict[str, Array]:
    """Read a state dict that `paddle.save` wrote, with any version of Paddle and any pickle protocol.

    The file is interpreted by a machine that cannot import or call anything (`resnexus.weights.unpickling`), and
    nothing is allocated before its whole structure is found in order, so that a hostile file can neither run code nor
    use more memory than in proportion to its own size.

    Args:
        path: the file, usually `NAME.pdparams`.
        prefix: for a file with several networks, the one to read, e.g. `"Student"`; entries of others are left out,
            and the prefix is removed from the names. A file whose entries all carry one of `prefixes.PREFIXES` needs no
            choice.

    Returns:
        Entry name -> array, in the file's order. Arrays are C-contiguous, writable, in native byte order and own their
        memory. uint16 becomes float32, because Paddle stores bfloat16 as uint16 and reads every uint16 as bfloat16.

    Raises:
        PdparamsError: no such file, not a Paddle state dict, damaged, something a weight file has no use for, or a
            choice of `prefix` that is missing or does not exist.
    """
    named = printable(os.fspath(path))
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise PdparamsError(f"{named}: not a regular file")
        with open(path, "rb") as file:
            return _read(file, named, prefix)
    except OSError as error:
        raise PdparamsError(f"{named}: cannot be read: {error.strerror or error}") from error


def _read(file: BufferedReader, path: str, prefix: str | None) -> dict[str, Array]:
    _check_beginning(file, path)
    state = unpickle(file, path)
    if not isinstance(state, dict):
        raise PdparamsError(f"{path}: holds {shown(state)}, not a state dict")
    entries = _select(_entries(state, path), prefix, path)
    arrays = {}
    for name, entry in entries.items():
        try:
            arrays[name] = _read_array(file, entry.parts, entry.shape)
        except ValueError as error:
            raise PdparamsError(f"{path}: contents of {shown(name)} are damaged: {error}") from error
    return arrays


def _check_beginning(file: BufferedReader, path: str) -> None:
    beginning = file.read(4)
    file.seek(0)
    if not beginning:
        raise PdparamsError(f"{path}: the file is empty")
    if beginning.startswith(b"PK"):
        raise PdparamsError(f"{path}: a zip archive, as torch.save writes, not a Paddle state dict")
    if beginning[0] != 0x80:
        raise PdparamsError(f"{path}: not a Paddle state dict, which is a pickle of protocol 2 or later")


def _entries(state: dict[str, object], path: str) -> dict[str, _Entry]:
    """Return the arrays of a state dict, with slices put in the place of their array."""
    if not all(isinstance(name, str) for name in _table(state, NAME_TABLE, path).values()):
        raise PdparamsError(f"{path}: {NAME_TABLE!r} holds more than names")
    slices = _table(state, SLICE_TABLE, path)
    entries = {}
    names: dict[int, str] = {}
    for name, value in state.items():
        array = _array(value)
        if array is None:
            raise PdparamsError(f"{path}: {shown(name)} is {shown(value)}; a state dict holds only arrays")
        if id(array) in names:
            raise PdparamsError(f"{path}: {shown(names[id(array)])} and {shown(name)} are one and the same array")
        names[id(array)] = name
        entries[name] = _Entry((array,), array.shape)
    for name, table in slices.items():
        entries[name] = _joined(name, table, entries, path)
    return entries


def _table(state: dict[str, object], key: str, path: str) -> dict[str, object]:
    table = state.pop(key, {})
    if not isinstance(table, dict):
        raise PdparamsError(f"{path}: {key!r} is {shown(table)}, not a dict")
    return table


def _array(value: object) -> StoredArray | None:
    """Return an array that stands alone or in a tuple after its internal name, as Paddle 2.1 and later may write it."""
    match value:
        case (str(), second):
            value = second
    return value if isinstance(value, StoredArray) and value.data is not None else None


def _joined(name: str, table: object, entries: dict[str, _Entry], path: str) -> _Entry:
    """Take the slices of one array out of `entries` and return the whole."""
    match table:
        case {"OriginShape": tuple() as shape, "slices": [str(), *_] as slices, **others} if not others:
            pass
        case _:
            raise PdparamsError(f"{path}: {SLICE_TABLE!r} does not say how {shown(name)} was cut")
    parts: list[StoredArray] = []
    for part in slices:
        if not isinstance(part, str) or part not in entries:
            raise PdparamsError(
                f"{path}: {shown(name)} was cut into slices, and {shown(part)} is missing or used twice"
            )
        parts.extend(entries.pop(part).parts)
    first = parts[0]
    alike = all(len(part.shape) == 1 and part.dtype == first.dtype for part in parts)
    lengths = len(shape) <= MAX_AXES and all(type(axis) is int and axis > 0 for axis in shape)
    if name in entries or not alike or not lengths or math.prod(shape) != sum(part.shape[0] for part in parts):
        raise PdparamsError(f"{path}: the slices of {shown(name)} do not make up an array of its shape")
    return _Entry(tuple(parts), shape)


def _select(entries: Mapping[str, _Entry], prefix: str | None, path: str) -> dict[str, _Entry]:
    """Return the entries of one network, without its prefix."""
    if prefix is None:
        prefix = prefix_of(entries, path, PdparamsError)
        if prefix is None:
            return dict(entries)
    start = prefix.rstrip(".") + "."
    selected = {name.removeprefix(start): entry for name, entry in entries.items() if name.startswith(start)}
    if not selected:
        begins = sorted({name.partition(".")[0] for name in entries})
        shown_begins = ", ".join(map(shown, begins[:12])) + (", ..." if len(begins) > 12 else "")
        raise PdparamsError(f"{path}: no entry starts with {start!r}; they start with {shown_begins or 'nothing'}")
    return selected


def _read_array(file: BufferedReader, parts: Sequence[StoredArray], shape: tuple[int, ...]) -> Array:
    """Return an array of `shape` that holds the contents of `parts` one after the other.

    Args:
        file: where the contents lie.
        parts: one array, or one-dimensional slices of one; all of one dtype and not `fortran` if more than one.
        shape: of as many elements as all parts have.

    Returns:
        A C-contiguous, writable array in native byte order that owns its memory. Paddle stores bfloat16 as uint16 and
        takes every uint16 for bfloat16, so uint16 becomes float32.

    Raises:
        ValueError: the contents are not what the file's structure says.
    """
    fortran, dtype = parts[0].fortran, parts[0].dtype
    array = np.empty(shape[::-1] if fortran else shape, dtype)
    target = array.reshape(-1).view(np.uint8)
    at = 0
    for part in parts:
        _read_contents(file, part.data, target[at : at + part.nbytes])
        at += part.nbytes
    if fortran:
        array = np.array(array.T, order="C")
    if dtype.kind == "u" and dtype.itemsize == 2:
        return _bfloat16_as_float32(array)
    return array if dtype.isnative else array.astype(dtype.newbyteorder("="))


def _read_contents(file: BufferedReader, data: Contents | None, target: Array) -> None:
    if not isinstance(data, Span):
        target[:] = np.frombuffer(data.encode("latin-1") if isinstance(data, str) else data or b"", np.uint8)
        return
    file.seek(data.offset, os.SEEK_SET)
    if data.text:
        _read_text(file, data, target)
    elif file.readinto(target.data) != len(target):
        raise ValueError("the file ends inside it")


def _read_text(file: BufferedReader, data: Span, target: Array) -> None:
    at, left = 0, data.length
    while left:
        chunk = file.read(min(left, TEXT_CHUNK))
        if chunk and chunk[-1] >= 0xC0 and len(chunk) < left:
            chunk += file.read(1)  # a character may be cut
        if not chunk:
            raise ValueError("the file ends inside it")
        contents = _latin1(np.frombuffer(chunk, np.uint8))
        if len(contents) > len(target) - at:
            raise ValueError(f"more than its {len(target):,} bytes are stored")
        target[at : at + len(contents)] = contents
        at += len(contents)
        left -= len(chunk)
    if at != len(target):
        raise ValueError(f"{at:,} of its {len(target):,} bytes are stored")


def _latin1(text: Array) -> Array:
    """Return the bytes that latin-1 characters in UTF-8 stand for, about 1.5 times as fast as the codecs.

    A character is one byte below 0x80, or 0xC2 or 0xC3 before a byte from 0x80 to 0xBF, of which 0xC3 sets bit 6.
    """
    first = text >= 0xC2
    second = (text & 0xC0) == 0x80
    paired = np.array_equal(second[1:], first[:-1]) and not first[-1]
    all_paired = np.count_nonzero(text >= 0x80) == 2 * np.count_nonzero(first)
    if not paired or not all_paired or text.max() > 0xC3:
        raise ValueError("it is not latin-1 text in UTF-8")
    values = text.copy()
    values[1:] |= (text[:-1] == 0xC3).view(np.uint8) << 6
    return values.compress(~first)


def _bfloat16_as_float32(array: Array) -> Array:
    """Return the float32 values whose upper halves are the uint16 values of `array`."""
    wide = np.empty(array.shape, np.float32)
    np.left_shift(array, 16, out=wide.view(np.uint32), dtype=np.uint32)
    return wide
