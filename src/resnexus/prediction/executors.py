"""Who does the shards of a manifest: processes of this machine, or a Ray cluster; the same function, the same bytes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Protocol

from resnexus.devices import CPU, GPU, device_word
from resnexus.errors import ResnexusError
from resnexus.machine import usable_cores
from resnexus.packages import required
from resnexus.prediction.pool import Lost, Pool

RAY = "ray"
LIVES = 10
"""Times that the process of a shard may die: it lives longer than a decoder, so that more may happen to it."""


class Executor(Protocol):
    """Applies a function to tasks."""

    def __call__(self, function: Callable[[Any], int], tasks: Iterable[Any], /) -> Iterator[int]:
        """Yield what the function returned for every task, in any order; as text a task is what is to be made."""
        ...


def executor_named(name: str, processes: int | None = None, device: str = "cpu") -> Executor:
    """Return an executor.

    Args:
        name: `"local"`; `"ray"` for a Ray that is started here; or the address of a cluster, `"ray://HOST:PORT"`, or
            `"ray:HOST:PORT"` for one that this machine is part of.
        processes: shards at a time; as many as this machine's usable cores if None, and on Ray as many as the cluster
            has processors, or GPUs if they run there.
        device: where a shard runs, as `resnexus.devices.device_word` takes it: Ray gives it a GPU of its own if it is
            one, and says itself which.

    Raises:
        ResnexusError: another name, less than one process, or on Ray a GPU by its number.
        MissingPackageError: ray is not installed, or pebble for several processes.
    """
    if processes is not None and processes < 1:
        raise ResnexusError(f"processes={processes}: expected at least 1")
    if name == "local":
        return Local(processes or usable_cores())
    if name == RAY or name.startswith("ray:"):
        word = device_word(device)
        if word not in (CPU, GPU):
            raise ResnexusError(f"device {device!r}: Ray says which GPU a shard gets; use device {GPU!r}")
        required("ray")
        return OnRay(name, processes, "GPU" if word == GPU else "CPU")
    raise ResnexusError(f"on={name!r}: expected local, ray or ray://HOST:PORT")


class Local:
    """Processes of this machine."""

    def __init__(self, processes: int) -> None:
        self._processes = processes

    def __call__(self, function: Callable[[Any], int], tasks: Iterable[Any], /) -> Iterator[int]:
        """Yield what the function returned, in order.

        Raises:
            ResnexusError: the process of a task died again and again.
        """
        if self._processes == 1:
            yield from map(function, tasks)
            return
        pool = Pool(self._processes, lives=LIVES, preload=function.__module__)
        try:
            for task, count in pool.ordered(function, ((task, task) for task in tasks), window=2 * self._processes):
                if isinstance(count, Lost):
                    raise ResnexusError(f"{task}: its process died {LIVES} times; is there enough memory?")
                yield count
        finally:
            pool.close()


class OnRay:
    """Ray core tasks, each retried on another node if its own is lost.

    Not Ray Data: its reader drops blocks that hold a broken image, good ones with it. Files must be where every node
    reads and writes them: shared folders, or addresses.

    Args:
        name: as for `executor_named`.
        tasks: under way at a time; as many as the cluster has of what they run on if None.
        runs_on: what Ray calls that, `"CPU"` or `"GPU"`.
    """

    def __init__(self, name: str, tasks: int | None, runs_on: str = "CPU") -> None:
        self._name, self._tasks, self._runs_on = name, tasks, runs_on

    def __call__(self, function: Callable[[Any], int], tasks: Iterable[Any], /) -> Iterator[int]:
        """Yield what the function returned, as it comes.

        Raises:
            ResnexusError: the cluster has nothing yet that a task could run on, and nobody says how many there will be.
        """
        ray = required("ray")
        started, under_way = not ray.is_initialized(), list[Any]()
        if started:
            _connect(ray, self._name)
        try:
            needs = {"num_cpus": 1} | ({"num_gpus": 1} if self._runs_on == "GPU" else {})
            remote = ray.remote(**needs, max_retries=LIVES - 1)(function)
            waiting = iter(tasks)
            under_way = [remote.remote(task) for task in islice(waiting, self._tasks or self._places(ray))]
            while under_way:
                done, under_way = ray.wait(under_way, num_returns=1)
                yield from map(int, ray.get(done))
                under_way += [remote.remote(task) for task in islice(waiting, 1)]
        finally:
            for left in under_way:  # of an error; a cluster that goes on would go on with them
                ray.cancel(left)
            if started:
                ray.shutdown()

    def _places(self, ray: Any) -> int:
        """Return how many tasks the cluster has room for."""
        found = int(ray.cluster_resources().get(self._runs_on, 0))
        if not found:
            raise ResnexusError(f"on={self._name!r}: the cluster has no {self._runs_on} now; say processes=, or wait")
        return found


def _connect(ray: Any, name: str) -> None:
    """Join a cluster, or start one here that nobody else can reach: Ray runs any code that it is sent.

    One that is started here asks for a token, which Ray sees to as long as nothing is said of it.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if name == RAY:
        ray.init(include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
        return
    ray.init(address=name if name.startswith("ray://") else name.removeprefix("ray:"), log_to_driver=False)
