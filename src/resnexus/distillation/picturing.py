"""The pictures on a run's page: some that were mined, and some that were left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from resnexus.data.preprocess import Preprocess
from resnexus.distillation.cache import Cache, open_cache
from resnexus.distillation.pooling import MinedPool
from resnexus.errors import ResnexusError, printable
from resnexus.prediction.decoding import Decoding
from resnexus.prediction.fetching import FetchError
from resnexus.report.distillation_record import Shown
from resnexus.report.printing import percent
from resnexus.report.thumbnails import thumbnail

_OF_EACH = 3
"""Mined pictures of a class that are shown: the surest, one in the middle, and the least sure."""
_MOST = 60


def shown(pool: MinedPool) -> tuple[tuple[Shown, ...], tuple[Shown, ...]]:
    """Return pictures that were mined, by class, and pictures that were left out, of both some."""
    cache = open_cache(pool.cache)
    by_class: dict[str, list[tuple[float, int]]] = {}
    for line in pool.selected:
        by_class.setdefault(line.name, []).append((line.confidence, line.id))
    mined = []
    for name, found in by_class.items():
        found.sort(reverse=True)
        places = sorted({0, len(found) // 2, len(found) - 1})[:_OF_EACH]
        mined += [(found[place][1], f"{name}, {percent(found[place][0], 0)} % sure") for place in places]
    dropped = [(pair.id, f"copy of {printable(pair.other)}") for pair in pool.copies]
    neither = cache.readable()
    neither[[line.id for line in pool.selected] + [pair.id for pair in pool.copies]] = False
    left = np.flatnonzero(neither)
    dropped += [(number, "not mined") for number in left[:: max(1, len(left) // _MOST)].tolist()]
    return tuple(_pictures(cache, mined[:_MOST])), tuple(_pictures(cache, dropped[:_MOST]))


def _pictures(cache: Cache, found: Iterable[tuple[int, str]]) -> Iterator[Shown]:
    """Yield the pictures that can be read again, with why they are shown."""
    decoding = Decoding(preprocess=Preprocess())
    for number, why in found:
        picture = cache.pictures[number]
        try:
            pixels = decoding.pixels(picture.source)
        except (ResnexusError, FetchError, MemoryError):  # it was there a moment ago: the page does without it
            continue
        yield Shown(name=printable(picture.uri), why=why, src=thumbnail(pixels))
