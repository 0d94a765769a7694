"""Whether engines run while products of float32 keep all their bits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Rounding:
    """Stands in for `exact_on` in a module that times engines.

    Attributes:
        asked: the devices that it was entered for.
        seen: what an engine did, `"open"` or `"run"`, and whether that was inside.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.seen: set[tuple[str, bool]] = set()
        self._inside = False

    @contextmanager
    def exact_on(self, device: str) -> Iterator[None]:
        self.asked.append(device)
        self._inside = True
        yield
        self._inside = False

    def opened(self, workload: Any, job: Any) -> Any:
        """Open a network as an engine does."""
        self.seen.add(("open", self._inside))

        def runner(images: Any) -> Any:
            self.seen.add(("run", self._inside))
            return workload.network(images).detach()

        return runner
