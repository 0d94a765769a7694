"""How a comparison times networks: all in turns, and again where the machine was busy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from resnexus.architectures.network import Network
from resnexus.benchmark.bench import BenchSettings, usual_precisions
from resnexus.benchmark.cell import Cell, is_unsteady
from resnexus.benchmark.engines import engine
from resnexus.benchmark.run import run
from resnexus.devices import device_kind
from resnexus.errors import ResnexusError
from resnexus.progress import Advance, Progress
from resnexus.report.printing import counted

ENGINE = "eager"
"""What latencies are those of: PyTorch as it is, as in the columns of that name of `resnexus bench`."""

TRIES = 3
"""How often networks are timed at most until the machine is quiet enough."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How latency is measured.

    Attributes:
        precisions: of `"fp32"`, `"bf16"`, `"fp16"`; empty for the usual ones of the device here.
        batch_sizes: images per call.
        device: as `resnexus.devices.device_kind` takes it, whose word is kept: `"cpu"` or `"cuda"`.
        rounds: in how many rounds the networks take turns; each has one timed call in a round.

    Raises:
        ResnexusError: a value that is not accepted, or that this machine does not have.
    """

    precisions: tuple[str, ...] = ()
    batch_sizes: tuple[int, ...] = (1, 4, 8)
    device: str = "cpu"
    rounds: int = 15

    def __post_init__(self) -> None:
        object.__setattr__(self, "device", device_kind(self.device))
        settings = self.settings(image_size=1, together=1)
        settings.check_here()
        for precision in settings.precisions:
            obstacle = engine(ENGINE).obstacle("", self.device, precision)
            if obstacle:
                raise ResnexusError(f"cannot time in {precision}: engine {ENGINE!r} {obstacle}")

    def settings(self, image_size: int, together: int) -> BenchSettings:
        """Return what `benchmark.run` is asked for, for images of some pixels on a side and networks in turns."""
        return BenchSettings(
            devices=(self.device,),
            precisions=self.precisions or usual_precisions(self.device),
            batch_sizes=self.batch_sizes,
            engines=(ENGINE,),
            image_size=image_size,
            rounds=self.rounds,
            settle_s=0.0,  # all is PyTorch, on the same threads
            together=together,
        )


def timed(
    networks: Sequence[str] | Mapping[str, Network], settings: BenchSettings, *, title: str, progress: Progress
) -> tuple[Cell, ...]:
    """Time networks; those that were timed together while the machine was busy are timed again, together.

    Of at most `TRIES` measurements the steadiest counts.

    Args:
        networks: as for `benchmark.run.run`.
        settings: what is timed, and how; on one device.
        title: of the stages that are reported.
        progress: where to report.

    Returns:
        The latencies, without their single calls.
    """
    best: dict[tuple[tuple[str, ...], int], tuple[Cell, ...]] = {}
    models = list(networks)
    waiting = [
        (tuple(models[start : start + settings.together]), settings.batch_sizes)
        for start in range(0, len(models), settings.together)
    ]
    for attempt in range(TRIES):
        again = f", again ({attempt + 1} of at most {TRIES}: the machine is busy)" if attempt else ""
        for names, sizes in waiting:
            chosen = {name: networks[name] for name in names} if isinstance(networks, Mapping) else names
            options = replace(settings, batch_sizes=sizes)
            *_, record = run(chosen, options, with_peaks=False, title=f"{title}{again}", progress=_Stages(progress))
            for size in sizes:
                cells = tuple(replace(cell, rounds_ms=()) for cell in record.cells if cell.batch_size == size)
                best[names, size] = min(best.get((names, size), cells), cells, key=_unrest)
        busy: dict[tuple[str, ...], tuple[int, ...]] = {}
        for (names, size), cells in best.items():
            if any(map(is_unsteady, cells)):
                busy[names] = (*busy.get(names, ()), size)
        waiting = [*busy.items()]
    unsteady = sum(is_unsteady(cell) for cells in best.values() for cell in cells)
    if unsteady:
        found = counted(unsteady, "latency", "latencies")
        progress.say(f"{title}: the machine stayed busy; {found} will be marked")
    return tuple(cell for cells in best.values() for cell in cells)


def _unrest(cells: Sequence[Cell]) -> float:
    return max((cell.p90_ms / cell.p10_ms for cell in cells), default=1.0)


@dataclass(frozen=True)
class _Stages:
    """Reports the stages of a benchmark and drops its lines: which engine opens is no news where there is one."""

    progress: Progress

    def stage(self, description: str, total: int) -> AbstractContextManager[Advance]:
        return self.progress.stage(description, total)

    def say(self, message: str) -> None:
        pass
