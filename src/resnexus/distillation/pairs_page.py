"""The contact sheet of near-duplicates: every pair side by side, with what was measured and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resnexus.data.error_codes import ErrorCode
from resnexus.data.preprocess import Preprocess
from resnexus.distillation.cache import Cache
from resnexus.distillation.duplicates import Deduplication, Pair
from resnexus.distillation.pictures import Picture
from resnexus.errors import ResnexusError, printable
from resnexus.files import check_writable, write_text
from resnexus.packages import required
from resnexus.prediction.decoding import Decoding
from resnexus.prediction.fetching import FetchLimits
from resnexus.prediction.inputs import Wanted
from resnexus.report.document import is_report
from resnexus.report.printing import counted, number
from resnexus.report.templates import shipped, template
from resnexus.report.thumbnails import thumbnail

Array = np.ndarray[Any, np.dtype[Any]]

GENERATOR = "resnexus distill dedupe"
"""By which a page of pairs is known; no other page is replaced."""
MOST_COPIES, MOST_KEPT = 200, 50
"""Pairs that the page shows; the list has all."""
_PLACES = 3
"""Of what was compared with, that are named."""
_ROOM = "resnexus.distillation"


@dataclass(frozen=True, kw_only=True)
class ShownPair:
    """A pair of the page.

    Attributes:
        picture: of the pool, small, as a data address of HTML; None if it cannot be read any more.
        other: the other likewise.
        name: what the picture of the pool is called.
        other_name: what the other is called.
        said: what was measured, and what becomes of it.
    """

    picture: str | None
    other: str | None
    name: str
    other_name: str
    said: str


class Sheet:
    """The pairs that a page shows, of any number: those nearest to the line between copies and others."""

    def __init__(self) -> None:
        self._copies = _First(MOST_COPIES, lambda pair: pair.correlation)
        self._kept = _First(MOST_KEPT, lambda pair: -pair.correlation)

    def add(self, pair: Pair) -> None:
        """Take a pair into account."""
        (self._copies if pair.removed else self._kept).add(pair)

    @property
    def copies(self) -> list[Pair]:
        """Copies, the least alike first."""
        return self._copies.pairs

    @property
    def kept(self) -> list[Pair]:
        """What came nearest to being a copy, the most alike first."""
        return self._kept.pairs


class _First:
    """Keeps the first of any number of pairs by an order; of equal ones those that came first."""

    def __init__(self, most: int, order: Callable[[Pair], float]) -> None:
        self._most, self._order = most, order
        self._pairs: list[Pair] = []

    def add(self, pair: Pair) -> None:
        self._pairs.append(pair)
        if len(self._pairs) == 2 * self._most:
            self._pairs = self.pairs

    @property
    def pairs(self) -> list[Pair]:
        return sorted(self._pairs, key=self._order)[: self._most]


def page_path(out: Path) -> Path:
    """Return where the page lies: beside the list."""
    return out.with_suffix(".html")


def check_page(page: Path) -> None:
    """See that a page can be written, and is ours to write.

    Raises:
        ResnexusError: it is a page of something else, it cannot be written, or jinja2 is not installed.
    """
    required("jinja2")
    if page.exists() and not is_report(page, GENERATOR):
        raise ResnexusError(
            f"{printable(page)} is no page of pairs and is not overwritten: give another name for the list, or move it "
            "away"
        )
    check_writable(page.parent)


def write_page(
    sheet: Sheet,
    record: Deduplication,
    cache: Cache,
    others: Mapping[str, Picture],
    page: Path,
    fetching: FetchLimits,
) -> None:
    """Write the page: the copies, the least alike first, and what came nearest to being one and is kept.

    Args:
        sheet: which pairs.
        record: of the run.
        cache: of the pool.
        others: pictures that the pool was compared with, by their place.
        page: the file.
        fetching: limits of what is brought over HTTP.

    Raises:
        ResnexusError: the file cannot be written.
    """
    decoding = _Whole(preprocess=Preprocess(), fetching=fetching)

    def shown(pair: Pair) -> ShownPair:
        return ShownPair(
            picture=_small(cache.pictures[pair.id], decoding),
            other=_small(others[pair.other], decoding),
            name=printable(pair.uri),
            other_name=printable(pair.other),
            said=_said(pair),
        )

    text = template("pairs.html", _ROOM).render(
        generator=GENERATOR,
        css=shipped("page.css"),
        findings=_findings(record),
        copies=[shown(pair) for pair in sheet.copies],
        kept=[shown(pair) for pair in sheet.kept],
        count_copies=record.removed,
        count_kept=record.candidates - record.removed,
    )
    write_text(str(text), page)


class _Whole(Decoding):
    """How a picture becomes its pixels."""

    def made(self, source: Wanted) -> Array:
        return self.pixels(source)


def _small(picture: Picture, decoding: Decoding) -> str | None:
    pixels = decoding(picture.source)
    return None if isinstance(pixels, ErrorCode) else thumbnail(pixels)


def _said(pair: Pair) -> str:
    mirrored = ", mirrored" if pair.mirrored else ""
    return (
        f"{pair.distance} bits, cosine {number(pair.cosine, 3)}, correlation {number(pair.correlation, 3)}, of the "
        f"detail {number(pair.detail, 3)}{mirrored}: "
        f"{pair.why}"
    )


def _places(against: Sequence[str]) -> str:
    more = f" and {len(against) - _PLACES:,} more" if len(against) > _PLACES else ""
    return ", ".join(map(printable, against[:_PLACES])) + more


def _findings(record: Deduplication) -> list[str]:
    limits = record.thresholds
    said = [
        f"{record.removed:,} of {counted(record.pictures, 'picture')} of the pool "
        f"{'is a copy' if record.removed == 1 else 'are copies'} of one of {record.others:,} in "
        f"{_places(record.against)}. Mining leaves them out; no file is deleted.",
        f"A copy differs in at most {limits.distance} of the 64 bits of its perceptual hash, has features of the "
        f"teacher with a cosine of at least {limits.cosine:g}, and pixels that correlate by at least "
        f"{limits.correlation:g}, and their detail by {limits.detail:g}.",
    ]
    said += [f"Kept, although the hash is near: {count:,}. {why.capitalize()}." for why, count in record.kept.items()]
    if record.unreadable:
        said.append(f"{counted(record.unreadable, 'picture')} of the pool could not be read.")
    if record.others_unreadable:
        what = counted(record.others_unreadable, "picture")
        said.append(f"{what} to compare with could not be read: a copy of one of them is not found.")
    return said
