"""Captured work: a call that is recorded once and replayed, on a GPU as a CUDA graph and on the CPU by a stand-in."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol, final

import torch
from torch import Tensor

from resnexus.acceleration.cuda.device import exact_float32

Call = Callable[[], list[Tensor]]

WARM_UP_CALLS = 3
"""Before a capture: cuDNN measures its algorithms, and Triton compiles."""


@dataclass(frozen=True)
class Captured:
    """Work that was recorded.

    Attributes:
        replay: does it again, with what its inputs hold now, into the same outputs.
        outputs: where the results are after every replay, until the next of any graph of the same `Graphs`.
    """

    replay: Callable[[], object]
    outputs: list[Tensor]


class Graphs(Protocol):
    """Captures calls whose values share memory, and lets them run one after another."""

    def capture(self, call: Call) -> Captured:
        """Record a call; it runs a few times for that."""
        ...

    def turn(self) -> AbstractContextManager[None]:
        """Let one thread at a time queue work here, behind the work of the one before."""
        ...

    @property
    def bytes(self) -> int:
        """Memory of the device that the values of all captured calls take together."""
        ...


@final
class CudaGraphs:
    """CUDA graphs on one device, in one pool of memory.

    They share the pool because they never run at the same time: work is queued under a lock, and a stream that takes
    its turn waits on the device for the one before it, not on the host.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._lock = threading.RLock()
        with torch.cuda.device(device):
            self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            self._pool = torch.cuda.graph_pool_handle()
            self._done = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._bytes = 0

    def capture(self, call: Call) -> Captured:
        """Record a call: first it runs a few times outside, then once into the graph.

        float32 keeps all its bits in products. The outputs stay where they are as long as the result lives.
        """
        with self._lock, torch.cuda.device(self.device), exact_float32(benchmark=True):
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                for _ in range(WARM_UP_CALLS):
                    call()
            torch.cuda.synchronize()
            torch.cuda.empty_cache()  # what the calls outside took, and the capture takes again
            before = torch.cuda.memory_reserved()
            graph = torch.cuda.CUDAGraph()
            # Another thread may go on allocating meanwhile.
            with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
                outputs = call()
            self._bytes += max(0, torch.cuda.memory_reserved() - before)
            torch.cuda.current_stream().wait_stream(self._stream)
        return Captured(graph.replay, outputs)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Queue work on the caller's stream, behind all that was queued in a turn before."""
        with self._lock, torch.cuda.device(self.device):
            stream = torch.cuda.current_stream()
            stream.wait_event(self._done)
            try:
                yield
            finally:
                self._done.record(stream)

    @property
    def bytes(self) -> int:
        """What the pool has grown to."""
        return self._bytes


@final
class StandIn:
    """Replays a call on the CPU by calling it again: outputs stay in place and are overwritten, as a graph's are."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._bytes = 0

    def capture(self, call: Call) -> Captured:
        """Call once, and keep the results' places; what is in them before a replay is not a number."""
        with self._lock:
            outputs = [torch.full_like(output, torch.nan) for output in call()]
        self._bytes += sum(output.nbytes for output in outputs)

        def replay() -> None:
            for output, result in zip(outputs, call(), strict=True):
                output.copy_(result)

        return Captured(replay, outputs)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Let one thread at a time run."""
        with self._lock:
            yield

    @property
    def bytes(self) -> int:
        """What the outputs take."""
        return self._bytes
