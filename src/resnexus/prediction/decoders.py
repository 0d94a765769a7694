"""Many inputs to pixels, in their order: in this process, or in others with limits to time and memory.

Only a window of inputs is under way at a time, so that any number of them takes the same memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from typing import Any, Protocol

from resnexus.data.error_codes import ErrorCode
from resnexus.prediction.decoding import Decoding, Frame, begin_worker, decode_in_worker
from resnexus.prediction.inputs import Address, Input, Member, Wanted
from resnexus.prediction.pool import Lost, Pool

_CODES = {Lost.TIMED_OUT: ErrorCode.TIMED_OUT, Lost.DIED: ErrorCode.DECODER_DIED}


class Decoder(Protocol):
    """Gives the pixels of inputs."""

    def frames(self, inputs: Iterable[Input]) -> Iterator[tuple[Input, Frame]]:
        """Yield every input with its pixels or its error code, in order."""
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
        for found in inputs:
            yield found, self._decoding(found.source)

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
        calls = ((found, self._argument(found.source)) for found in inputs)
        for found, frame in self._pool.ordered(
            decode_in_worker, calls, window=self._window, time_limit=self._time_limit
        ):
            yield found, _CODES[frame] if isinstance(frame, Lost) else frame

    def close(self) -> None:
        """End the workers."""
        self._pool.close()

    def _argument(self, source: Wanted) -> Any:
        if isinstance(source, (str, os.PathLike, bytes, Address, Member)):
            return source
        decoded: Future[Frame] = Future()
        decoded.set_result(self._decoding(source))
        return decoded
