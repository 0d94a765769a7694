"""Which pictures a student learns from: a pool or a cache, and what was mined of it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from resnexus.distillation.cache import RECORD, Cache, open_cache
from resnexus.distillation.lines import read_lines
from resnexus.distillation.mining import Selected
from resnexus.distillation.pictures import Listed, Manifested, Picture
from resnexus.errors import ResnexusError, printable
from resnexus.prediction.manifest import RECORD as MANIFEST

Named = str | os.PathLike[str]


def opened(pool: Named | Iterable[Named]) -> tuple[Cache | None, tuple[Picture, ...]]:
    """Return the cache that a pool is, or None, and all pictures.

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


def chosen(pictures: Sequence[Picture], selection: Path | None) -> tuple[Picture, ...]:
    """Return the pictures that can be read, and of those that were mined if a selection is given.

    Args:
        pictures: of the pool.
        selection: the file that `resnexus distill mine` wrote; None for all pictures.

    Raises:
        ResnexusError: a selection that cannot be read, or that names what is not in the pool; or nothing is left.
    """
    readable = {picture.uri: picture for picture in pictures if picture.error is None}
    if selection is None:
        found = tuple(readable.values())
    else:
        mined = dict.fromkeys(line.uri for line in read_lines(Selected, selection))
        strange = next((uri for uri in mined if uri not in readable), None)
        if strange is not None:
            raise ResnexusError(
                f"{printable(selection)} names {printable(strange)}, which is not in the pool or cannot be read: give "
                "the pool that was mined"
            )
        found = tuple(readable[uri] for uri in mined)
    if not found:
        raise ResnexusError("no picture to learn from: the pool or the selection is empty")
    return found
