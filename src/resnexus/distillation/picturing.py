"""The pictures on a run's page: some that were mined, and some that were left out, with the reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from typing import Any

import numpy as np

from resnexus.data.preprocess import Preprocess
from resnexus.distillation.cache import Cache, open_cache
from resnexus.distillation.duplicates import Pair
from resnexus.distillation.lines import read_lines
from resnexus.distillation.mining import Selected
from resnexus.distillation.pooling import MinedPool
from resnexus.errors import ResnexusError, printable
from resnexus.prediction.decoding import Decoding
from resnexus.prediction.fetching import FetchError
from resnexus.report.distillation_record import Shown
from resnexus.report.printing import percent
from resnexus.report.thumbnails import thumbnail

Array = np.ndarray[Any, np.dtype[Any]]
Explained = Iterator[tuple[int, str]]

_MOST = 60
"""Pictures that are shown of those that were mined, and of those that were not."""
_OF_EACH = 20
"""Pictures that are shown of each reason to be left out."""
_PARTS = 3
"""Of the place of another picture, so much is told: `train/CLASS/FILE`."""


def shown(pool: MinedPool) -> tuple[tuple[Shown, ...], tuple[Shown, ...]]:
    """Return pictures that were mined, by class, and pictures that were left out, some of each reason."""
    cache = open_cache(pool.cache)
    return tuple(_pictures(cache, islice(_mined(pool), _MOST))), tuple(_pictures(cache, _left_out(pool, cache)))


def _mined(pool: MinedPool) -> Explained:
    """Yield of each class the surest picture, one in the middle, and the least sure; as they lie in the selection."""
    for _, lines in groupby(read_lines(Selected, pool.selection), key=lambda line: line.class_id):
        found = [(line.id, f"{line.name}, {percent(line.confidence, 0)} % sure") for line in lines]
        yield from (found[place] for place in sorted({0, len(found) // 2, len(found) - 1}))


def _left_out(pool: MinedPool, cache: Cache) -> Explained:
    """Yield pictures of each reason: copies first, then those that the teacher was not sure of, then the surplus."""
    left = cache.readable()
    for line in read_lines(Selected, pool.selection):
        left[line.id] = False
    copies = 0
    for pair in () if pool.duplicates is None else read_lines(Pair, pool.duplicates):
        if pair.removed:
            left[pair.id] = False
            if copies < _OF_EACH:
                yield pair.id, f"copy of {printable('/'.join(pair.other.split('/')[-_PARTS:]))}"
            copies += 1
    classes, confidence = cache.leading("plain_classes"), cache.leading("plain_probabilities")
    sure = confidence >= np.float32(pool.mining.min_confidence)  # as mining compares

    def said(number: int) -> str:
        return f"{cache.record.class_name(int(classes[number]))}, {percent(float(confidence[number]), 0)} %"

    yield from ((number, f"unsure: {said(number)}") for number in _spaced(left & ~sure))
    yield from ((number, f"surplus: {said(number)}") for number in _spaced(left & sure))


def _spaced(which: Array) -> list[int]:
    """Return the numbers of some pictures, evenly over all that are marked, (pictures,) bool."""
    numbers = np.flatnonzero(which)
    places = np.linspace(0, len(numbers) - 1, min(_OF_EACH, len(numbers))).round().astype(int)
    found: list[int] = numbers[places].tolist()
    return found


def _pictures(cache: Cache, found: Iterable[tuple[int, str]]) -> Iterator[Shown]:
    """Yield the pictures that can be read again, with why they are shown."""
    decoding = Decoding(preprocess=Preprocess(), fetching=cache.record.fetching)
    for number, why in found:
        picture = cache.pictures[number]
        try:
            pixels = decoding.pixels(picture.source)
        except (ResnexusError, FetchError, MemoryError):  # it was there a moment ago: the page does without it
            continue
        yield Shown(name=printable(picture.uri), why=why, src=thumbnail(pixels))
