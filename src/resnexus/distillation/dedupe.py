"""The job of `resnexus distill dedupe`: which pictures of a pool are copies of your own, in a list and on a page.

Nothing is deleted. The list says what mining leaves out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from resnexus.data.preprocess import Preprocess
from resnexus.devices import present_device
from resnexus.distillation.cache import Cache
from resnexus.distillation.comparing import compared
from resnexus.distillation.duplicates import COPY, Deduplication, Pair, Thresholds
from resnexus.distillation.hashing import SHARES, Hashing, hashed, pool_hashes
from resnexus.distillation.lines import write_lines
from resnexus.distillation.neighbours import TOGETHER, HashIndex, Near
from resnexus.distillation.pairs_page import Sheet, check_page, page_path, write_page
from resnexus.distillation.pictures import Listed, Picture
from resnexus.errors import ResnexusError
from resnexus.packages import required
from resnexus.prediction.decoders import fetch_limits, open_decoder
from resnexus.prediction.job import run_path
from resnexus.prediction.settings import PredictionSettings
from resnexus.progress import Progress, Silent
from resnexus.records import write_json
from resnexus.teachers import TeacherModule

Array = np.ndarray[Any, np.dtype[Any]]

MOST = 32
"""Others that a picture is compared with closely, those with the nearest hashes."""


def dedupe(
    cache: Cache,
    against: Iterable[str],
    out: Path,
    thresholds: Thresholds | None = None,
    *,
    teacher: str | TeacherModule | None = None,
    asking: PredictionSettings | None = None,
    progress: Progress | None = None,
) -> Deduplication:
    """Write the list of pictures of a pool that are near others, with what becomes of each, and a page of the pairs.

    The hashes of the pool are kept in the cache, so that a second run, or one that was interrupted, goes on there.

    Args:
        cache: of the pool.
        against: your validation and training pictures: folders, patterns, files.
        out: the list, JSON lines; the page lies beside it as `NAME.html`, the record as `NAME.run.json`.
        thresholds: when a picture is a copy.
        teacher: where the teacher of the cache is now, or the torch module that it is; where it was if None.
        asking: its device, and the decoding workers; the rest is the cache's.
        progress: where to report; nowhere if None.

    Raises:
        ResnexusError: nothing to compare with, another teacher than the cache's, or a file cannot be written.
        MissingPackageError: imagehash or jinja2 is not installed.
    """
    required("imagehash")
    check_page(page_path(out))
    thresholds, progress = thresholds or Thresholds(), progress or Silent()
    places, asking = tuple(against), _asking(cache, asking or PredictionSettings())
    present_device(asking.device)  # before the pool is hashed: the teacher is opened after that
    others = tuple(Listed(places))
    mine, readable, ours, found = _hashes(cache, others, asking, progress)
    if not found.any():
        raise ResnexusError(f"none of the {len(others):,} pictures to compare with can be read")
    why, sheet = Counter[str](), Sheet()

    def pairs() -> Iterator[Pair]:
        near = _near(mine, readable, ours, found, thresholds.distance, progress)
        for pair in compared(cache, others, near, thresholds, teacher, asking, out.parent, progress):
            why[pair.why] += 1
            sheet.add(pair)
            yield pair

    candidates = write_lines(pairs(), out)
    record = Deduplication(
        cache=cache.record.pool,
        against=places,
        thresholds=thresholds,
        pictures=len(cache),
        unreadable=int((~readable).sum()),
        others=len(others),
        others_unreadable=int((~found).sum()),
        candidates=candidates,
        removed=why.pop(COPY, 0),
        kept=dict(sorted(why.items())),
    )
    write_json(record, run_path(out))
    places_of = {picture.uri: picture for picture in others}
    write_page(sheet, record, cache, places_of, page_path(out), fetch_limits(asking))
    return record


def _asking(cache: Cache, asking: PredictionSettings) -> PredictionSettings:
    """Return how the teacher is asked again: as it was for the cache, with the device and the workers that are here.

    Addresses lead where those of the cache's pool did.
    """
    record = cache.record
    return replace(
        asking,
        architecture=record.teacher_architecture,
        weights=record.teacher_weights,
        engine=record.engine,
        precision=record.precision,
        batch_size=record.batch_size,
        private_addresses=asking.private_addresses or record.private_addresses,
    )


def _hashes(
    cache: Cache, others: tuple[Picture, ...], asking: PredictionSettings, progress: Progress
) -> tuple[Array, Array, Array, Array]:
    """Return the hashes of the pool and which could be read, and the same of the others."""
    fetching, window = fetch_limits(asking), 4 * max(1, asking.workers)
    decoder = open_decoder(Hashing(preprocess=Preprocess(), fetching=fetching), asking, window)
    try:
        mine, readable = pool_hashes(cache, decoder, progress)
    finally:
        decoder.close()
    decoder = open_decoder(Hashing(preprocess=Preprocess(), fetching=fetching, mirrored=True), asking, window)
    try:
        with progress.stage("hashing what it is compared with", len(others)) as advance:
            ours, found = hashed(others, decoder, 2 * len(SHARES), advance)
    finally:
        decoder.close()
    return mine, readable, ours, found


def _near(mine: Array, readable: Array, ours: Array, found: Array, distance: int, progress: Progress) -> Iterator[Near]:
    """Yield the pictures of the pool whose hash is near that of others, part after part of the pool, by number."""
    (numbers,) = np.nonzero(found)
    index = HashIndex(ours[numbers], distance)
    for start in range(0, len(mine), TOGETHER):
        part = slice(start, start + TOGETHER)
        rows = start + np.flatnonzero(readable[part])
        with progress.stage("looking for near hashes", len(mine[part])) as advance:
            near = index.near(mine[rows], MOST)
            advance(len(mine[part]))
        yield Near(rows[near.pictures], numbers[near.others], near.distances)
