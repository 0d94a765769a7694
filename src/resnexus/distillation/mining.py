"""The job of `resnexus distill mine`: which pictures of a pool to learn from.

For each class those of which the teacher is surest, from the plain view, and of no class more than so many: without
that limit a pool of dogs makes a student of dogs. A picture counts for its most probable class alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resnexus.distillation.cache import Cache
from resnexus.distillation.duplicates import Pair
from resnexus.distillation.lines import read_lines, write_lines
from resnexus.errors import ResnexusError, printable
from resnexus.prediction.job import run_path
from resnexus.records import write_json
from resnexus.report.printing import number

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, kw_only=True)
class Selected:
    """A picture that was taken: a line of `selection.jsonl`.

    Attributes:
        id: of the picture in the cache.
        uri: where it lies.
        class_id: its most probable class.
        name: what the class is called; its number where nobody says.
        confidence: its probability, of float32.
        rank: place among the pictures of the class, from 1.
        teacher: who said so, as it was asked for.
        why: in words.
    """

    id: int
    uri: str
    class_id: int
    name: str
    confidence: float
    rank: int
    teacher: str
    why: str


@dataclass(frozen=True, kw_only=True)
class RareClass:
    """A class with fewer pictures than were asked for.

    Attributes:
        class_id: its number.
        name: what it is called.
        pictures: that were taken.
    """

    class_id: int
    name: str
    pictures: int


@dataclass(frozen=True, kw_only=True)
class Mining:
    """What was taken and what was left out, and why; lies beside the selection as `NAME.run.json`.

    Every picture of the pool is counted once: in the first of these that it is.

    Attributes:
        cache: digest of the pool.
        teacher: as it was asked for.
        teacher_sha256: of its weights.
        per_class: pictures of each class at most.
        min_confidence: least probability of the most probable class.
        duplicates: list of copies that was left out; None if there was none.
        pictures: of the pool.
        unreadable: left out because they could not be read.
        copies: left out because they are copies.
        unsure: left out because no class is probable enough.
        surplus: left out because their class has enough that are surer.
        selected: taken.
        classes: of which there is at least one.
        rare: classes with fewer than were asked for, those with the fewest first.
    """

    cache: str
    teacher: str
    teacher_sha256: str
    per_class: int
    min_confidence: float
    duplicates: str | None
    pictures: int
    unreadable: int
    copies: int
    unsure: int
    surplus: int
    selected: int
    classes: int
    rare: tuple[RareClass, ...]


def mine(cache: Cache, out: Path, *, per_class: int, min_confidence: float, duplicates: Path | None = None) -> Mining:
    """Write which pictures to learn from, class after class, the surest first; of equally sure ones the lower number.

    Args:
        cache: of the pool.
        out: the selection, JSON lines; the record lies beside it as `NAME.run.json`.
        per_class: pictures of each class at most.
        min_confidence: least probability of the most probable class.
        duplicates: what `resnexus distill dedupe` wrote; its copies are left out.

    Raises:
        ResnexusError: a number out of range, nothing can be taken, the list of duplicates is of another pool, or a file
            cannot be written.
    """
    if isinstance(per_class, bool) or not isinstance(per_class, int) or per_class < 1:
        raise ResnexusError(f"per_class={per_class!r}: expected a whole number of at least 1")
    if not 0 <= min_confidence <= 1:
        raise ResnexusError(f"min_confidence={min_confidence!r}: expected a probability from 0 to 1")
    record = cache.record
    classes, confidence = cache.leading("plain_classes"), cache.leading("plain_probabilities")
    readable = classes >= 0
    copies = _copies(cache, duplicates)
    sure = confidence >= np.float32(min_confidence)
    free = readable & ~copies
    taken, ranks = _ranked(np.flatnonzero(free & sure), classes, confidence)
    if not len(taken):
        best = f"the surest has {number(float(confidence[free].max()), 3)}" if free.any() else "none is left before"
        raise ResnexusError(f"min_confidence={min_confidence}: no picture is as sure; {best}")
    first = ranks <= per_class
    counts = np.bincount(classes[taken[first]], minlength=record.num_classes)
    found = np.bincount(classes[taken], minlength=record.num_classes)
    write_lines(_selected(cache, taken[first], ranks[first], classes, confidence, found), out)
    rare = np.argsort(counts, kind="stable")[: int((counts < per_class).sum())]
    mining = Mining(
        cache=record.pool,
        teacher=record.teacher,
        teacher_sha256=record.teacher_sha256,
        per_class=per_class,
        min_confidence=min_confidence,
        duplicates=None if duplicates is None else str(duplicates),
        pictures=len(cache),
        unreadable=int((~readable).sum()),
        copies=int((readable & copies).sum()),
        unsure=int((free & ~sure).sum()),
        surplus=int((~first).sum()),
        selected=int(first.sum()),
        classes=int((counts > 0).sum()),
        rare=tuple(
            RareClass(class_id=int(one), name=record.class_name(int(one)), pictures=int(counts[one])) for one in rare
        ),
    )
    write_json(mining, run_path(out))
    return mining


def _ranked(indices: Array, classes: Array, confidence: Array) -> tuple[Array, Array]:
    """Return pictures class after class, the surest first, and the rank of each in its class, from 1."""
    order = indices[np.lexsort((indices, -confidence[indices], classes[indices]))]
    ordered = classes[order]
    return order, np.arange(len(order)) - np.searchsorted(ordered, ordered) + 1


def _selected(
    cache: Cache, taken: Array, ranks: Array, classes: Array, confidence: Array, found: Array
) -> Iterator[Selected]:
    record = cache.record
    for index, rank in zip(taken.tolist(), ranks.tolist(), strict=True):
        class_id = int(classes[index])
        yield Selected(
            id=index,
            uri=cache.pictures[index].uri,
            class_id=class_id,
            name=record.class_name(class_id),
            confidence=float(str(confidence[index])),
            rank=rank,
            teacher=record.teacher,
            why=f"number {rank} of the {found[class_id]} of its class that are sure enough",
        )


def _copies(cache: Cache, duplicates: Path | None) -> Array:
    """Return which pictures a list of duplicates leaves out: (pictures,) bool."""
    copies = np.zeros(len(cache), bool)
    if duplicates is None:
        return copies
    for pair in read_lines(Pair, duplicates):
        if not 0 <= pair.id < len(cache) or cache.pictures[pair.id].uri != pair.uri:
            raise ResnexusError(
                f"{printable(duplicates)} is of another pool: it calls picture {pair.id} {printable(pair.uri)}; run "
                "`resnexus distill dedupe` on this cache"
            )
        copies[pair.id] = pair.removed
    return copies
