"""How a long job tells what it is doing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Progress(Protocol):
    """Where a job reports its stages."""

    def stage(self, description: str, total: int) -> AbstractContextManager[Callable[[], None]]:
        """Begin a stage of `total` steps; the context gives a function to call after each step."""
        ...

    def say(self, message: str) -> None:
        """Show one line."""
        ...


class Silent:
    """Reports nothing."""

    @contextmanager
    def stage(self, description: str, total: int) -> Iterator[Callable[[], None]]:
        """Give a function that does nothing."""
        yield lambda: None

    def say(self, message: str) -> None:
        """Drop the line."""


class Bars:
    """A progress bar on the terminal for every stage, with the time left; on standard error."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True)

    @contextmanager
    def stage(self, description: str, total: int) -> Iterator[Callable[[], None]]:
        """Show a bar; outside a terminal, one line when the stage ends."""
        from rich import progress

        columns = (
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeElapsedColumn(),
            progress.TimeRemainingColumn(),
        )
        with progress.Progress(*columns, console=self._console) as bar:
            task = bar.add_task(description, total=total)
            yield lambda: bar.advance(task)

    def say(self, message: str) -> None:
        """Print one line."""
        self._console.print(message, markup=False, highlight=False, soft_wrap=True)
