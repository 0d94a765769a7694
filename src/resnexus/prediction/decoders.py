"""Many inputs to pixels, in their order: in this process, or in others with limits to time and memory.

Only a window of inputs is under way at a time, so that any number of them takes the same memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from resnexus.data.error_codes import ErrorCode
from resnexus.prediction.decoding import Decoding, Frame, begin_worker, decode_in_worker
from resnexus.prediction.fetching import FetchLimits
from resnexus.prediction.inputs import Address, Input, Member, Wanted
from resnexus.prediction.pool import Lost, Pool
from resnexus.prediction.settings import PredictionSettings

Item = TypeVar("Item")

_CODES = {Lost.TIMED_OUT: ErrorCode.TIMED_OUT, Lost.DIED: ErrorCode.DECODER_DIED}


class Decoder(Protocol):
    """Gives the pixels of inputs."""

    def frames(self, inputs: Iterable[Input]) -> Iterator[tuple[Input, Frame]]:
        """Yield every input with its pixels or its error code, in order."""
        ...

    def decoded(self, calls: Iterable[tuple[Item, Any]]) -> Iterator[tuple[Item, Frame]]:
        """Yield every item with what the decoding makes of what comes with it, in order; it goes there as it is."""
        ...

    def close(self) -> None:
        """Free what is held; nothing may be asked afterwards."""
        ...


class Here:
    """Decodes in this process."""

    def __init__(self, decoding: Decoding) -> None:
        self._decoding = decoding

    def frames(self, inputs: Iterable[Input]) -> Iterator[tuple[Input, Frame]]:
        """Yield every input with its pixels or its error code, in order."""
        return self.decoded((found, found.source) for found in inputs)

    def decoded(self, calls: Iterable[tuple[Item, Any]]) -> Iterator[tuple[Item, Frame]]:
        """Yield every item with what the decoding makes of what comes with it, in order."""
        for item, source in calls:
            yield item, self._decoding(source)

    def close(self) -> None:
        """Do nothing."""


class Workers:
    """Decodes in other processes; what is in memory, or open in this process, is decoded here.

    A worker that takes too long for an input is ended, and one that dies is replaced: either costs that input alone.

    Args:
        decoding: what workers do.
        workers: how many.
        time_limit: seconds for one input.
        memory_limit: MiB for each worker, besides what it starts with.
        window: inputs under way.

    Raises:
        MissingPackageError: pebble is not installed.
    """

    def __init__(self, decoding: Decoding, *, workers: int, time_limit: float, memory_limit: int, window: int) -> None:
        self._decoding, self._time_limit, self._window = decoding, time_limit, max(window, workers)
        self._pool = Pool(workers, begin_worker, (decoding, memory_limit))

    def frames(self, inputs: Iterable[Input]) -> Iterator[tuple[Input, Frame]]:
        """Yield every input with its pixels or its error code, in order."""
        return self.decoded((found, self._argument(found.source)) for found in inputs)

    def decoded(self, calls: Iterable[tuple[Item, Any]]) -> Iterator[tuple[Item, Frame]]:
        """Yield every item with what the decoding makes of what comes with it, in order; it goes there as it is."""
        for item, frame in self._pool.ordered(
            decode_in_worker, calls, window=self._window, time_limit=self._time_limit
        ):
            yield item, _CODES[frame] if isinstance(frame, Lost) else frame

    def close(self) -> None:
        """End the workers."""
        self._pool.close()

    def _argument(self, source: Wanted) -> Any:
        if isinstance(source, (str, os.PathLike, bytes, Address, Member)):
            return source
        decoded: Future[Frame] = Future()
        decoded.set_result(self._decoding(source))
        return decoded


def open_decoder(decoding: Decoding, settings: PredictionSettings, window: int) -> Decoder:
    """Return what decodes with the workers and the limits of the settings.

    Args:
        decoding: what is done.
        settings: how many workers, and their limits.
        window: inputs under way.

    Raises:
        MissingPackageError: pebble is not installed, and there are to be workers.
    """
    if not settings.workers:
        return Here(decoding)
    return Workers(
        decoding,
        workers=settings.workers,
        time_limit=settings.time_limit,
        memory_limit=settings.memory_limit,
        window=window,
    )


def fetch_limits(settings: PredictionSettings) -> FetchLimits:
    """Return the limits of what is brought over HTTP that the settings ask for."""
    return FetchLimits(private=settings.private_addresses, seconds=settings.time_limit)
