"""What one process of `gpu_bench` is asked to do, and how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast

import torch

from resnexus.acceleration.backends.contract import Job, Precision
from studies.gpu_record import Outcome

Kind = Literal["network", "parity", "peaks", "training"]

Measure = Callable[[], Outcome]
"""What an opened task still has to do, once it has the device for itself."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What one process does.

    Attributes:
        kind: of the task.
        model: name of the network, for most kinds.
        cells: precisions and batch sizes, the most important first.
        engines: peers, of `ENGINES`.
        variants: of our engine, values of its option `kernels`.
        share: of parity, which of how many shares of all steps.
        aside: whether its latencies are kept apart: they were timed in other turns than those of the same cells.
    """

    kind: Kind
    model: str = ""
    cells: tuple[tuple[str, int], ...] = ()
    engines: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    share: tuple[int, int] = (0, 1)
    aside: bool = False

    @property
    def name(self) -> str:
        """How messages call it."""
        precisions = ",".join(dict.fromkeys(precision for precision, _ in self.cells))
        return " ".join(filter(None, (self.kind, self.model, precisions)))


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How all tasks of a run measure.

    Attributes:
        device: `"cuda"`; `"cpu"` to rehearse.
        image_size: pixels on a side.
        rounds: in how many rounds all take turns.
        deadline: of `time.monotonic`, after which nothing more is opened.
    """

    device: str
    image_size: int
    rounds: int
    deadline: float

    def job(self, precision: str, batch_size: int) -> Job:
        """Return what is to be run."""
        return Job(
            batch_size=batch_size,
            image_size=(self.image_size, self.image_size),
            precision=cast("Precision", precision),
            device=self.device,
            threads=torch.get_num_threads(),
        )
