"""Pictures whose hashes are near, compared closely: by the teacher's features, and pixel by pixel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from resnexus.data.error_codes import ErrorCode
from resnexus.data.preprocess import Preprocess
from resnexus.distillation.cache import Cache
from resnexus.distillation.duplicates import Evidence, Pair, Thresholds, judged
from resnexus.distillation.features import AskedFeatures, of_length_one
from resnexus.distillation.neighbours import Near
from resnexus.distillation.pictures import Picture
from resnexus.distillation.sketches import Sketching, alike, windows
from resnexus.prediction.decoders import fetch_limits, open_decoder
from resnexus.prediction.settings import PredictionSettings
from resnexus.progress import Progress
from resnexus.teachers import TeacherModule

Array = np.ndarray[Any, np.dtype[Any]]

_HELD = 1024
"""Others whose windows are held, 242 KiB each."""


def compared(
    cache: Cache,
    others: Sequence[Picture],
    near: Iterable[Near],
    thresholds: Thresholds,
    teacher: str | TeacherModule | None,
    asking: PredictionSettings,
    folder: Path,
    progress: Progress,
) -> Iterator[Pair]:
    """Yield what becomes of each picture of a pool whose hash is near that of another.

    A part of the pool is held at a time; the teacher is asked about an other when it is near for the first time.

    Args:
        cache: of the pool.
        others: that it is compared with.
        near: pairs of pictures of the pool and others, part after part of the pool.
        thresholds: when a picture is a copy.
        teacher: where the teacher of the cache is now; where it was if None.
        asking: how it is asked, and the workers that decode.
        folder: on whose disk features are kept meanwhile.
        progress: where to report.

    Raises:
        ResnexusError: as for `AskedFeatures.ask`.
    """
    sketching = Sketching(preprocess=Preprocess(), fetching=fetch_limits(asking))
    with (
        closing(AskedFeatures(others, cache.record, teacher, asking, folder)) as features,
        closing(open_decoder(sketching, asking, 4 * max(1, asking.workers))) as decoder,
    ):

        @lru_cache(maxsize=_HELD)
        def cut(number: int) -> Array | None:
            made = sketching(others[number].source)
            return None if isinstance(made, ErrorCode) else windows(made)

        def evidence(picture: int, own: Array, close: Sequence[tuple[int, int]]) -> Iterator[Evidence]:
            (seen,) = of_length_one(cache.feature(picture)[None])
            for number, distance in close:
                other = cut(number)
                if other is not None:
                    cosine = float((features[number] @ seen).max())
                    likeness = alike(own, other)
                    yield Evidence(other=others[number], distance=distance, cosine=cosine, **likeness._asdict())

        for part in near:
            features.ask(part.others, progress)
            numbers = np.unique(part.pictures).tolist()
            with progress.stage("comparing", len(numbers)) as advance:
                pictures = (cache.pictures[number] for number in numbers)
                sketches = decoder.decoded((picture, picture.source) for picture in pictures)
                for (picture, sketch), close in zip(sketches, _by_picture(part), strict=True):
                    known: list[Evidence] = []
                    if not isinstance(sketch, ErrorCode):
                        known = list(evidence(picture.id, windows(sketch), close))
                    if known:
                        yield judged(picture, known, thresholds)
                    advance()


def _by_picture(near: Near) -> Iterator[list[tuple[int, int]]]:
    """Yield number and distance of the others of one picture after the other."""
    ends = np.flatnonzero(np.diff(near.pictures)) + 1
    if len(near.pictures):
        for others, distances in zip(np.split(near.others, ends), np.split(near.distances, ends), strict=True):
            yield list(zip(others.tolist(), distances.tolist(), strict=True))
