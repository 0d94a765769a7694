"""Is a picture of the pool a copy of one that it is compared with? Three questions, in the order of their cost.

1. Is a perceptual hash near? That finds candidates among all pairs.
2. Does the teacher see the same? The cosine of its features for both, the better of the picture and its mirror image.
3. Are the pixels the same, and the detail where they are nearly even? The correlation of both, the best over small cuts
   and mirroring.

A copy is what passes all three. The second question tells little where a teacher sees a class and nothing else, and
the third is there for that: two pieces of one lawn, or two handwritten ones, are the same to a teacher.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from resnexus.distillation.pictures import Picture
from resnexus.errors import ResnexusError

COPY = "a copy: hash, features and pixels agree"
"""Why a picture is removed."""


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """When a picture is a copy of another.

    Attributes:
        distance: most bits in which the nearest hashes differ, of 64.
        cosine: least cosine of the teacher's features.
        correlation: least correlation of the pixels.
        detail: least correlation of the detail.

    Raises:
        ResnexusError: a value outside its range.
    """

    distance: int = 14
    cosine: float = 0.3
    correlation: float = 0.98
    detail: float = 0.8

    def __post_init__(self) -> None:
        if isinstance(self.distance, bool) or not isinstance(self.distance, int) or not 0 <= self.distance <= 32:
            raise ResnexusError(f"distance={self.distance!r}: expected bits, from 0 to 32")
        for name in ("cosine", "correlation", "detail"):
            if not -1 <= getattr(self, name) <= 1:
                raise ResnexusError(f"{name}={getattr(self, name)!r}: expected a number from -1 to 1")

    def objection(self, evidence: Evidence) -> str:
        """Return why a pair is none of copies; nothing if it is."""
        if evidence.distance > self.distance:
            return f"the hashes differ in more than {self.distance} bits"
        if evidence.cosine < self.cosine:
            return f"the teacher sees something else: cosine below {self.cosine:g}"
        if evidence.correlation < self.correlation:
            return f"other pixels: correlation below {self.correlation:g}"
        if evidence.detail < self.detail:
            return f"other detail: correlation below {self.detail:g}"
        return ""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is known of a picture of the pool beside another.

    Attributes:
        other: the other.
        distance: bits in which their nearest hashes differ.
        cosine: of the teacher's features.
        correlation: of the pixels.
        detail: correlation of the detail.
        mirrored: whether it is that of a mirror image.
    """

    other: Picture
    distance: int
    cosine: float
    correlation: float
    detail: float
    mirrored: bool


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A picture of the pool and another: a line of `duplicates.jsonl`.

    Attributes:
        id: of the picture in the cache.
        uri: where it lies.
        other: where the other lies.
        distance: bits in which their nearest hashes differ.
        cosine: of the teacher's features.
        correlation: of the pixels.
        detail: correlation of the detail.
        mirrored: whether it is that of a mirror image.
        removed: whether it is a copy, which mining leaves out.
        why: in words.
    """

    id: int
    uri: str
    other: str
    distance: int
    cosine: float
    correlation: float
    detail: float
    mirrored: bool
    removed: bool
    why: str


@dataclass(frozen=True, kw_only=True)
class Deduplication:
    """What was compared and what came of it; lies beside the list as `NAME.run.json`.

    Attributes:
        cache: digest of the pool.
        against: what it was compared with.
        thresholds: when a picture is a copy.
        pictures: of the pool.
        unreadable: of them, those that could not be read.
        others: pictures that it was compared with.
        others_unreadable: of them, those that could not be read, and so hide no copy.
        candidates: pictures of the pool whose hash was near.
        removed: of them, the copies.
        kept: why the other candidates are none -> how many.
    """

    cache: str
    against: tuple[str, ...]
    thresholds: Thresholds
    pictures: int
    unreadable: int
    others: int
    others_unreadable: int
    candidates: int
    removed: int
    kept: dict[str, int]


def judged(picture: Picture, evidence: Iterable[Evidence], thresholds: Thresholds) -> Pair:
    """Return what becomes of a picture of the pool: the pair that passes, or the one whose pixels come nearest to it.

    Args:
        picture: of the pool.
        evidence: of every other that its hash is near; at least one.
        thresholds: of all three questions.
    """
    best = max(evidence, key=lambda one: (not thresholds.objection(one), one.correlation, one.cosine))
    objection = thresholds.objection(best)
    return Pair(
        id=picture.id,
        uri=picture.uri,
        other=best.other.uri,
        distance=best.distance,
        cosine=round(best.cosine, 4),
        correlation=round(best.correlation, 4),
        detail=round(best.detail, 4),
        mirrored=best.mirrored,
        removed=not objection,
        why=objection or COPY,
    )
