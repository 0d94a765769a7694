"""Which pictures a student learns from: a pool or a cache, and what was mined of it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resnexus.distillation.cache import RECORD, Cache, open_cache
from resnexus.distillation.filed import SomePictures
from resnexus.distillation.lines import read_lines
from resnexus.distillation.mining import Selected
from resnexus.distillation.pictures import Listed, Manifested, Picture
from resnexus.errors import ResnexusError, printable
from resnexus.prediction.manifest import RECORD as MANIFEST

Array = np.ndarray[Any, np.dtype[Any]]
Named = str | os.PathLike[str]


def opened(pool: Named | Iterable[Named]) -> tuple[Cache | None, Sequence[Picture]]:
    """Return the cache that a pool is, or None, and all pictures; those of a cache are read when they are asked for.

    Args:
        pool: files, folders, patterns or tar files; or one folder that holds a cache or a manifest.

    Raises:
        ResnexusError: a cache or manifest that is not whole, or what cannot be listed.
    """
    names = [pool] if isinstance(pool, (str, os.PathLike)) else list(pool)
    if len(names) == 1:
        folder = Path(names[0])
        if (folder / RECORD).is_file():
            cache = open_cache(folder)
            return cache, cache.pictures
        if (folder / MANIFEST).is_file():
            return None, tuple(Manifested(folder))
    return None, tuple(Listed(names))


def chosen(pictures: Sequence[Picture], selection: Path | None, readable: Array | None = None) -> SomePictures:
    """Return the pictures that can be read, and of those that were mined if a selection is given.

    Args:
        pictures: of the pool.
        selection: the file that `resnexus distill mine` wrote; None for all pictures.
        readable: (n,) bool, which can be read; what each of them says if None.

    Raises:
        ResnexusError: a selection that cannot be read, or that names what is not in the pool; or nothing is left.
    """
    if readable is None:
        readable = np.array([picture.error is None for picture in pictures], bool)
    numbers = np.flatnonzero(readable) if selection is None else _mined(pictures, selection, readable)
    if not len(numbers):
        raise ResnexusError("no picture to learn from: the pool or the selection is empty")
    return SomePictures(pictures, numbers)


def _mined(pictures: Sequence[Picture], selection: Path, readable: Array) -> Array:
    """Return the numbers of the pictures that a selection names, in its order, each once."""
    numbers: list[int] = []
    elsewhere: dict[str, int] = {}  # of pictures that have another number in this pool: where it is missing
    for line in read_lines(Selected, selection):
        if line.id < len(pictures) and pictures[line.id].uri == line.uri:
            numbers.append(line.id)
        elif line.uri not in elsewhere:
            elsewhere[line.uri] = len(numbers)
            numbers.append(-1)
    if elsewhere:
        for number, picture in enumerate(pictures):
            if picture.uri in elsewhere:
                numbers[elsewhere.pop(picture.uri)] = number
    found = np.array(numbers, np.int64)
    lost = next(iter(elsewhere), None) or next((pictures[n].uri for n in numbers if not readable[n]), None)
    if lost is not None:
        raise ResnexusError(
            f"{printable(selection)} names {printable(lost)}, which is not in the pool or cannot be read: give the "
            "pool that was mined"
        )
    return found[np.sort(np.unique(found, return_index=True)[1])]
