"""Processes that may die: every call is answered in its order, and what goes wrong is the answer of its call alone.

Pebble's pool gives each call a time limit and replaces a worker that dies. What breaks such a pool as a whole, as a
worker can that is killed while it holds a lock, has it started anew here, with all that was under way.
"""

from __future__ import annotations

import multiprocessing
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Future, wait
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from multiprocessing.util import Finalize
from threading import Thread
from typing import Any, Generic, TypeVar

from resnexus.errors import ResnexusError
from resnexus.packages import required

Item = TypeVar("Item")

LIVES = 3
"""Workers that may die of one call. A worker may be killed by anything: once or twice says nothing of the call."""
STARTUP_S = 120.0
"""Seconds after which a pool is started anew that has not begun the oldest call."""
SLACK_S = 10.0
"""Seconds beyond its limit after which a pool is started anew that has not ended the oldest call."""
STARTS = 5
"""Times that a pool is started anew without a result in between."""
_TICK_S = 0.5
_UNATTENDED = 3
"""Ticks after which a call is believed to have no worker: pebble itself may be about to say so."""
_STOP_S = 5.0
_BEFORE_THE_WAIT = 10
"""Of 0 and more, as `multiprocessing` does before it waits for the processes of a process that ends."""
_WORKER = "pebble_pool_worker"


class Lost(Enum):
    """Why a call has no result."""

    TIMED_OUT = "timed out"
    DIED = "died"


@dataclass(eq=False)
class _Call(Generic[Item]):
    item: Item
    argument: Any
    future: Any = None
    deaths: int = 0


class Pool:
    """Worker processes, forked from a small one that has imported what they need.

    Neither the threads nor the memory of this process are in them, and a new one is there in milliseconds.

    Args:
        workers: how many.
        begin: called in every worker when it starts; nothing if None.
        arguments: of `begin`.
        lives: workers that may die of one call.
        preload: module that the small process imports, if this is the first pool.
        clock: seconds.

    Raises:
        MissingPackageError: pebble is not installed.
    """

    def __init__(
        self,
        workers: int,
        begin: Callable[..., None] | None = None,
        arguments: tuple[Any, ...] = (),
        lives: int = LIVES,
        preload: str = "resnexus.prediction.decoding",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pebble = required("pebble")
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([preload])
        self._workers, self._begin, self._clock, self._lives = workers, (begin, arguments), clock, lives
        self._pool = self._started()
        # A process that ends waits for its own first: one that loses its parent in the middle would wait for ever.
        self._at_exit = Finalize(None, self._stop, exitpriority=_BEFORE_THE_WAIT)

    def ordered(
        self,
        function: Callable[[Any], Any],
        calls: Iterable[tuple[Item, Any]],
        *,
        window: int,
        time_limit: float | None = None,
    ) -> Iterator[tuple[Item, Any]]:
        """Yield every item with what `function` returned for its argument, or a `Lost`, in order.

        Args:
            function: a function of a module; what it raises is raised here.
            calls: item and argument; an argument that is a `Future` is a result already.
            window: calls under way at a time.
            time_limit: seconds that a worker gets for a call; any time if None.
        """
        under_way: deque[_Call[Item]] = deque()
        run = _Run(self, function, time_limit, under_way)
        for item, argument in calls:
            under_way.append(_Call(item, argument))
            run.submit(under_way[-1])
            if len(under_way) > window:
                yield under_way[0].item, run.oldest()
                under_way.popleft()
        while under_way:
            yield under_way[0].item, run.oldest()
            under_way.popleft()

    def close(self) -> None:
        """End the workers."""
        self._at_exit.cancel()
        self._stop()

    def _stop(self) -> None:
        """End the workers. A pool whose threads do not end is left behind, its processes killed."""
        pool = self._pool
        pool.stop()
        ending = Thread(target=_joined, args=(pool,), daemon=True)
        ending.start()
        ending.join(_STOP_S)
        if ending.is_alive():
            for process in multiprocessing.active_children():
                if process.name == _WORKER:
                    process.kill()

    def is_unattended(self, future: Any) -> bool:
        """Whether the worker that began a call is gone.

        Pebble says so itself, but for a worker that dies before pebble has read that it began: then it waits for ever.
        """
        manager = self._pool._pool_manager
        tasks = list(manager.task_manager.tasks.values())
        worker = next((task.worker_id for task in tasks if task.future is future), 0)
        return bool(worker) and worker not in manager.worker_manager.workers

    def _restart(self) -> None:
        self._stop()
        self._pool = self._started()

    def _started(self) -> Any:
        begin, arguments = self._begin
        return self._pebble.ProcessPool(
            max_workers=self._workers, initializer=begin, initargs=arguments, context=self._context
        )


class _Run(Generic[Item]):
    """One pass of calls through a pool."""

    def __init__(
        self, pool: Pool, function: Callable[[Any], Any], time_limit: float | None, under_way: deque[_Call[Item]]
    ) -> None:
        self._pool, self._function, self._time_limit, self._under_way = pool, function, time_limit, under_way
        self._starts = 0

    def submit(self, call: _Call[Item]) -> None:
        call.future = None
        if isinstance(call.argument, Future):
            call.future = call.argument
            return
        try:
            call.future = self._scheduled(call.argument)
        except RuntimeError:  # pebble's word for a pool that is broken
            self._again()

    def oldest(self) -> Any:
        """Wait for the result of the oldest call."""
        call, clock, since, ran = self._under_way[0], self._pool._clock, self._pool._clock(), False
        unattended = 0
        while True:
            if wait([call.future], timeout=_TICK_S).done:
                try:
                    result = call.future.result()
                    self._starts = 0
                    return result
                except TimeoutError:
                    return Lost.TIMED_OUT
                except BrokenExecutor:
                    self._again()
                    since, ran = clock(), False
                    continue
                except self._pool._pebble.ProcessExpired:
                    if self._died(call):
                        return Lost.DIED
                    since, ran = clock(), False
                    continue
            unattended = unattended + 1 if self._pool.is_unattended(call.future) else 0
            if unattended == _UNATTENDED:
                if self._died(call):
                    return Lost.DIED
                since, ran, unattended = clock(), False, 0
            if call.future.running() and not ran:
                since, ran = clock(), True
            if not self._pool._pool.active or clock() - since > self._patience(ran):
                self._again()
                since, ran = clock(), False

    def _died(self, call: _Call[Item]) -> bool:
        """Begin a call again whose worker is gone; tell whether it has had all its lives."""
        call.deaths += 1
        if call.deaths == self._pool._lives:
            return True
        self.submit(call)
        return False

    def _patience(self, runs: bool) -> float:
        if not runs:
            return STARTUP_S
        return float("inf") if self._time_limit is None else self._time_limit + SLACK_S

    def _scheduled(self, argument: Any) -> Any:
        return self._pool._pool.schedule(self._function, args=(argument,), timeout=self._time_limit)

    def _again(self) -> None:
        """Start the pool anew, with every call that has no result."""
        self._starts += 1
        if self._starts > STARTS:
            raise ResnexusError(
                f"worker processes end as soon as they start, {STARTS} times in a row: is there enough memory for them?"
            )
        self._pool._restart()
        for call in self._under_way:
            if _is_open(call.future):
                call.future = self._scheduled(call.argument)


def _is_open(future: Any) -> bool:
    """Whether a call has no result, and none is on its way from a pool that works."""
    return future is None or not future.done() or isinstance(future.exception(), BrokenExecutor)


def _joined(pool: Any) -> None:
    with suppress(RuntimeError, OSError):
        pool.join()
