"""A clock of the tests' own: time passes only where a test says so."""

from __future__ import annotations

from collections.abc import Callable


class ManualClock:
    """Stands in for `resnexus.acceleration.planning.timing.Clock`.

    Attributes:
        seconds: since the beginning.
        slept: how long each sleep was.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds

    def work(self, milliseconds: float, then: Callable[[], object] = lambda: None) -> Callable[[], object]:
        """A call that takes a time on this clock."""

        def call() -> object:
            self.seconds += milliseconds / 1e3
            return then()

        return call
