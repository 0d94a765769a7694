"""The job of `resnexus distill dedupe`: which pictures of a pool are copies of your own, in a list and on a page.

Nothing is deleted. The list says what mining leaves out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from resnexus.data.error_codes import ErrorCode
from resnexus.data.preprocess import Preprocess
from resnexus.distillation.cache import Cache
from resnexus.distillation.duplicates import Deduplication, Evidence, Pair, Thresholds, judged
from resnexus.distillation.features import Mirroring, mirrored_features, of_length_one
from resnexus.distillation.hashing import SHARES, Hashing, hashed, near, pool_hashes
from resnexus.distillation.lines import write_lines
from resnexus.distillation.pairs_page import check_page, page_path, write_page
from resnexus.distillation.pictures import Listed, Picture
from resnexus.distillation.scoring import teacher_runner
from resnexus.distillation.sketches import Sketching, alike, windows
from resnexus.errors import ResnexusError
from resnexus.packages import required
from resnexus.prediction.bulk import absolute, one_thread
from resnexus.prediction.decoders import fetch_limits, open_decoder
from resnexus.prediction.job import run_path
from resnexus.prediction.settings import PredictionSettings
from resnexus.progress import Progress, Silent
from resnexus.records import write_json

Array = np.ndarray[Any, np.dtype[Any]]

MOST = 32
"""Others that a picture is compared with closely, those with the nearest hashes."""
_HELD = 1024
"""Pictures that are compared with whose windows are held, 121 KiB each."""


def dedupe(
    cache: Cache,
    against: Iterable[str],
    out: Path,
    thresholds: Thresholds | None = None,
    *,
    teacher: str | None = None,
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
        teacher: where the teacher of the cache is now; where it was if None.
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
    others = tuple(Listed(places))
    mine, readable, ours, found = _hashes(cache, others, asking, progress)
    if not found.any():
        raise ResnexusError(f"none of the {len(others):,} pictures to compare with can be read")
    candidates = dict(_candidates(mine, readable, ours, found, thresholds.distance, progress))
    features = _features(cache, others, candidates, teacher, asking, progress)
    with progress.stage("comparing", len(candidates)) as advance:
        pairs = []
        for pair in _judged(cache, others, candidates, features, thresholds, asking):
            pairs.append(pair)
            advance()
    write_lines(pairs, out)
    record = Deduplication(
        cache=cache.record.pool,
        against=places,
        thresholds=thresholds,
        pictures=len(cache),
        unreadable=int((~readable).sum()),
        others=len(others),
        others_unreadable=int((~found).sum()),
        candidates=len(pairs),
        removed=sum(pair.removed for pair in pairs),
        kept=dict(sorted(Counter(pair.why for pair in pairs if not pair.removed).items())),
    )
    write_json(record, run_path(out))
    places_of = {picture.uri: picture for picture in others}
    write_page(pairs, record, cache, places_of, page_path(out), fetch_limits(asking))
    return record


def _asking(cache: Cache, asking: PredictionSettings) -> PredictionSettings:
    """Return how the teacher is asked again: as it was for the cache, with the device and the workers that are here."""
    record = cache.record
    return replace(
        asking,
        architecture=record.teacher_architecture,
        weights=record.teacher_weights,
        engine=record.engine,
        precision=record.precision,
        batch_size=record.batch_size,
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


def _candidates(
    mine: Array, readable: Array, ours: Array, found: Array, distance: int, progress: Progress
) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """Yield the pictures of the pool whose hash is near, with the others, by number and distance."""
    (numbers,) = np.nonzero(found)
    with progress.stage("looking for near hashes", len(mine)) as advance:
        for index, close in enumerate(near(mine, ours[numbers], distance, MOST)):
            if close and readable[index]:
                yield index, [(int(numbers[place]), bits) for place, bits in close]
            advance()


def _features(
    cache: Cache,
    others: tuple[Picture, ...],
    candidates: dict[int, list[tuple[int, int]]],
    teacher: str | None,
    asking: PredictionSettings,
    progress: Progress,
) -> dict[int, Array]:
    """Return the teacher's features of the others that are near: number -> (2, C)."""
    record = cache.record
    wanted = sorted({number for close in candidates.values() for number, _ in close})
    if not wanted:
        return {}
    runner = teacher_runner(absolute(teacher or record.teacher), asking, progress)
    if runner.card.weights != record.teacher_sha256:
        raise ResnexusError(f"{runner.card.name} has other weights than those that scored the cache: give those")
    runner.card = replace(runner.card, preprocess=record.preprocess)
    viewing = Mirroring(preprocess=record.preprocess, fetching=fetch_limits(asking))
    decoder = open_decoder(viewing, asking, window=2 * record.batch_size)
    try:
        with progress.stage("asking the teacher", len(wanted)) as advance, one_thread():
            features = mirrored_features([others[number] for number in wanted], decoder, runner)
            advance(len(wanted))
    finally:
        decoder.close()
        runner.close()
    return dict(zip(wanted, features, strict=True))


def _judged(
    cache: Cache,
    others: tuple[Picture, ...],
    candidates: dict[int, list[tuple[int, int]]],
    features: dict[int, Array],
    thresholds: Thresholds,
    asking: PredictionSettings,
) -> Iterator[Pair]:
    """Yield what becomes of each picture of the pool that has candidates, in order."""
    sketching = Sketching(preprocess=Preprocess(), fetching=fetch_limits(asking))

    def cut(picture: Picture) -> Array | ErrorCode:
        made = sketching(picture.source)
        return made if isinstance(made, ErrorCode) else windows(made)

    @lru_cache(maxsize=_HELD)
    def sketched(number: int) -> Array | ErrorCode:
        return cut(others[number])

    def evidence(index: int, own: Array) -> Iterator[Evidence]:
        (seen,) = of_length_one(cache.feature(index)[None])
        for number, distance in candidates[index]:
            other = sketched(number)
            if isinstance(other, ErrorCode):
                continue
            likeness = alike(own, other)
            cosine = float((features[number] @ seen).max())
            yield Evidence(other=others[number], distance=distance, cosine=cosine, **likeness._asdict())

    for index in candidates:
        own = cut(cache.pictures[index])
        known = [] if isinstance(own, ErrorCode) else list(evidence(index, own))
        if known:
            yield judged(cache.pictures[index], known, thresholds)
