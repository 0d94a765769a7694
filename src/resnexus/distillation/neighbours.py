"""Which hashes of a pool are near others: an index that finds what comparing all pairs finds.

A hash of 64 bits is four words of 16. Say that word i may differ in t_i bits. If the t_i + 1 add up to r + 1, hashes
that differ in at most r bits pass in some word: were every word beyond its t_i, they would differ in r + 1 bits (the
pigeonhole principle; multi-index hashing, Norouzi et al. 2012, arXiv:1307.2982). So the others are sorted by each word,
and those pictures of a pool that share a word are compared, all at once, with the others whose word is near it: of
random hashes and for r = 14 with 3.4 % of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

TOGETHER = 2**19
"""Pictures of a pool that are best looked up together: the more of them share a word, the less it takes for each."""
_WORDS, _WORD_BITS = 4, 16
_HELD = 2**22
"""Pairs that are compared or kept at a time."""
_PLACES = 128
"""For the distance in a number that stands for a pair."""


class Near(NamedTuple):
    """Pairs of pictures whose hashes are near: by picture, the nearest first, of equal ones the lower other.

    Attributes:
        pictures: (k,) int64, numbers of pictures of the pool.
        others: (k,) int64, numbers of others.
        distances: (k,) int64, bits in which the nearest of their hashes differ.
    """

    pictures: Array
    others: Array
    distances: Array


class HashIndex:
    """Hashes of pictures, to be found by others that differ in few bits; 144 bytes for a picture of six hashes.

    Args:
        others: (m, w, 8) uint8, w hashes of each picture.
        limit: largest distance in bits.
    """

    def __init__(self, others: Array, limit: int) -> None:
        self.limit, self.versions, self.pictures = limit, others.shape[1], len(others)
        self._hashes = _as(np.uint64, others)
        words = _as(np.uint16, others).reshape(-1, _WORDS)
        self._sorted = {
            place: _SortedWords(words[:, place], reach)
            for place, reach in enumerate(reaches(limit))
            if reach >= 0  # else the other words find all
        }

    def near(self, pool: Array, most: int) -> Near:
        """Return for each picture of a pool the nearest others within the limit.

        The distance of two pictures is the least of all their hashes.

        Args:
            pool: (n, v, 8) uint8, v hashes of each picture; best about `TOGETHER` of them.
            most: others of a picture that are returned.
        """
        hashes, words = _as(np.uint64, pool), _as(np.uint16, pool).reshape(-1, _WORDS)
        found = _Nearest(self.pictures, most)
        for place, others in self._sorted.items():
            for rows, close in others.blocks(words[:, place]):
                distances = _distances(hashes[rows], self._hashes[close])
                at, to = np.nonzero(distances <= self.limit)
                if len(at):
                    found.add(rows[at] // pool.shape[1], close[to] // self.versions, distances[at, to])
        return found.near()


def reaches(limit: int) -> tuple[int, ...]:
    """Return for each word in how many bits it may differ; -1 where it need not be looked at."""
    return tuple((limit + 1 + place) // _WORDS - 1 for place in range(_WORDS))


class _SortedWords:
    """One word of all hashes, in order.

    Args:
        words: (hashes,) uint16.
        reach: bits in which words differ that are near.
    """

    def __init__(self, words: Array, reach: int) -> None:
        self._order = np.argsort(words, kind="stable").astype(np.uint32)
        counts = np.bincount(words, minlength=2**_WORD_BITS)
        self._starts = np.concatenate([[0], np.cumsum(counts)])
        every = np.arange(2**_WORD_BITS, dtype=np.uint16)
        self._differences = every[np.bitwise_count(every) <= reach]

    def blocks(self, words: Array) -> Iterator[tuple[Array, Array]]:
        """Yield rows of `words` that are equal, with the hashes whose word is near: numbers of both, none empty."""
        order = np.argsort(words, kind="stable")
        for rows in np.split(order, np.flatnonzero(np.diff(words[order])) + 1):
            close = self._close(words[rows[0]]) if len(rows) else rows
            if len(close):
                step = max(1, _HELD // len(close))
                for start in range(0, len(rows), step):
                    yield rows[start : start + step], close

    def _close(self, word: Any) -> Array:
        near = (word ^ self._differences).astype(np.int64)  # of 16 bits, the last word and one would be the first
        starts = self._starts[near]
        counts = self._starts[near + 1] - starts
        # Where each run of equal words begins, less where it will stand: places count on within a run.
        shifts = np.repeat(starts - np.cumsum(counts) + counts, counts)
        found: Array = self._order[shifts + np.arange(len(shifts))]
        return found


class _Nearest:
    """Keeps of the pairs that it is told the nearest others of every picture.

    A pair is one number, picture before other before distance.

    Args:
        others: how many there are.
        most: others of a picture that are kept.
    """

    def __init__(self, others: int, most: int) -> None:
        self._others, self._most = others, most
        self._found: list[Array] = []
        self._count, self._room = 0, _HELD

    def add(self, pictures: Array, others: Array, distances: Array) -> None:
        """Take pairs; one may come several times."""
        pairs = pictures.astype(np.int64) * self._others + others
        self._found.append(pairs * _PLACES + distances)
        self._count += len(pairs)
        if self._count > self._room:
            self._reduce()
            self._room = max(_HELD, 2 * self._count)

    def near(self) -> Near:
        """Return what is kept."""
        self._reduce()
        pairs, distances = np.divmod(self._found[0], _PLACES)
        return Near(*np.divmod(pairs, self._others), distances)

    def _reduce(self) -> None:
        found = np.sort(np.concatenate([np.empty(0, np.int64), *self._found]))
        found = found[np.diff(found // _PLACES, prepend=-1) > 0]  # of each pair the least distance
        pictures, rest = np.divmod(found, self._others * _PLACES)
        order = np.lexsort((rest, rest % _PLACES, pictures))
        found, pictures = found[order], pictures[order]
        ranks = np.arange(len(found)) - np.searchsorted(pictures, pictures)
        self._found = [found[ranks < self._most]]
        self._count = len(self._found[0])


def _distances(first: Array, second: Array) -> Array:
    """Return in how many bits each of some hashes differs from each of others: (n,) and (m,) uint64 -> (n, m) uint8."""
    found: Array = np.bitwise_count(first[:, None] ^ second)
    return found


def _as(kind: type[np.generic], hashes: Array) -> Array:
    """Return the bits of hashes as numbers of that kind, one after the other."""
    return np.ascontiguousarray(hashes).reshape(-1).view(kind)
