"""How a long job tells what it is doing: the one protocol, and what shows it on a terminal or in a file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.console import Console

LINE_S = 30.0
"""Seconds between two lines about a stage where there is no terminal."""


class Advance(Protocol):
    """Tells that some steps of a stage are done."""

    def __call__(self, steps: int = 1, /) -> object:
        """Count `steps` more as done."""
        ...


class Progress(Protocol):
    """Where a job reports its stages."""

    def stage(self, description: str, total: int) -> AbstractContextManager[Advance]:
        """Begin a stage of `total` steps; the context gives a function to call after each step, or after several."""
        ...

    def say(self, message: str) -> None:
        """Show one line."""
        ...


class Silent:
    """Reports nothing."""

    @contextmanager
    def stage(self, description: str, total: int) -> Iterator[Advance]:
        """Give a function that does nothing."""
        yield lambda steps=1: None

    def say(self, message: str) -> None:
        """Drop the line."""


class Shown:
    """Shows a job on standard error: bars on a terminal, and in a file or a pipe a line from time to time.

    Args:
        clock: seconds, for the lines.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        from rich.console import Console

        self._console = Console(stderr=True)
        self._clock = clock

    def stage(self, description: str, total: int) -> AbstractContextManager[Advance]:
        """Show how many steps are done, and the time that is left."""
        if self._console.is_terminal:
            return _bar(self._console, description, total)
        return self._lines(description, total)

    def say(self, message: str) -> None:
        """Print one line."""
        self._console.print(message, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def _lines(self, description: str, total: int) -> Iterator[Advance]:
        done, start = 0, self._clock()
        last = start

        def advance(steps: int = 1, /) -> None:
            nonlocal done, last
            done, now = done + steps, self._clock()
            if now - last >= LINE_S or done == total:
                last = now
                spent = now - start
                left = "" if done == total else f", {_duration(spent / done * (total - done))} left"
                self.say(f"{description}: {done} of {total} after {_duration(spent)}{_rate(done, spent)}{left}")

        self.say(description)
        yield advance


def _rate(done: int, seconds: float | None) -> str:
    """Say how many steps a second there are, if there is at least one."""
    return f", {done / seconds:,.1f}/s" if seconds and done >= seconds else ""


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


@contextmanager
def _bar(console: Console, description: str, total: int) -> Iterator[Advance]:
    from rich import progress
    from rich.text import Text

    columns = (
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
        progress.TimeRemainingColumn(),
    )

    class Rate(progress.ProgressColumn):
        """Steps a second since the beginning."""

        def render(self, task: progress.Task) -> Text:
            return Text(_rate(int(task.completed), task.elapsed).removeprefix(", "), style="progress.data.speed")

    with progress.Progress(*columns, Rate(), console=console) as bar:
        task = bar.add_task(description, total=total)
        yield lambda steps=1: bar.advance(task, steps)
