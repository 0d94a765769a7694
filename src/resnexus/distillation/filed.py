"""The pictures of a cache where they lie, on lines of its files: any number of them is a sequence that holds none."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from resnexus.distillation.lines import read_lines
from resnexus.distillation.pictures import Picture
from resnexus.errors import ResnexusError, printable
from resnexus.records import RecordError, from_json

Array = np.ndarray[Any, np.dtype[Any]]

_NEWLINE = 10


class FiledPictures(Sequence[Picture]):
    """Pictures that lie in files, one on a line; a line is read when its picture is asked for.

    What is held is where each line ends, 8 bytes a picture. To know that, all files are read once, one after the other.

    Args:
        paths: the files.
        per_file: pictures of each but the last.
        pictures: of all files.

    Raises:
        ResnexusError: a file that cannot be read, or that holds other pictures; also when a line is read.
    """

    def __init__(self, paths: Sequence[Path], per_file: int, pictures: int) -> None:
        self._paths, self._per_file = tuple(paths), per_file
        self._ends = np.zeros(pictures, np.int64)
        for file, path in enumerate(self._paths):
            rows = slice(file * per_file, min((file + 1) * per_file, pictures))
            ends = _ends(path)
            if len(ends) != rows.stop - rows.start:
                raise _other(path)
            self._ends[rows] = ends
            for place in {rows.start, rows.stop - 1}:
                self._picture(place)  # the others are looked at when they are asked for

    def __len__(self) -> int:
        return len(self._ends)

    def __iter__(self) -> Iterator[Picture]:
        for file, path in enumerate(self._paths):
            for place, picture in enumerate(read_lines(Picture, path), file * self._per_file):
                yield _checked(picture, place, path)

    @overload
    def __getitem__(self, index: int) -> Picture: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Picture]: ...
    def __getitem__(self, index: int | slice) -> Picture | Sequence[Picture]:
        if isinstance(index, slice):
            return tuple(map(self._picture, range(*index.indices(len(self)))))
        return self._picture(range(len(self))[index])

    def _picture(self, place: int) -> Picture:
        file, row = divmod(place, self._per_file)
        path = self._paths[file]
        start = int(self._ends[place - 1]) if row else 0
        line = _read(path, start, int(self._ends[place]))
        return _checked(from_json(Picture, line, where=f"{path}, line {row + 1}"), place, path)


class SomePictures(Sequence[Picture]):
    """Some pictures of a sequence, in an order of their own; what is held are their numbers.

    Args:
        pictures: the sequence.
        numbers: (n,) of pictures in it.
    """

    def __init__(self, pictures: Sequence[Picture], numbers: Array) -> None:
        self.pictures, self.numbers = pictures, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, index: int) -> Picture: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Picture]: ...
    def __getitem__(self, index: int | slice) -> Picture | Sequence[Picture]:
        if isinstance(index, slice):
            return SomePictures(self.pictures, self.numbers[index])
        return self.pictures[int(self.numbers[index])]


def _ends(path: Path) -> Array:
    """Return where each line of a file ends, its newline included."""
    try:
        content = np.fromfile(path, np.uint8)
    except OSError as error:
        raise RecordError(f"cannot read {printable(path)}: {error.strerror or error}") from error
    return np.flatnonzero(content == _NEWLINE) + 1


def _read(path: Path, start: int, stop: int) -> str:
    try:
        with path.open("rb", buffering=0) as file:
            return os.pread(file.fileno(), stop - start, start).decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise RecordError(f"cannot read {printable(path)}: {reason or error}") from error


def _checked(picture: Picture, place: int, path: Path) -> Picture:
    if picture.id != place:
        raise _other(path)
    return picture


def _other(path: Path) -> ResnexusError:
    return ResnexusError(f"{printable(path)} holds other pictures than the cache's record says")
