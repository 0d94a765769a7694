"""What a benchmark is asked for and what it leaves behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch

from resnexus.acceleration.backends.contract import PRECISIONS
from resnexus.acceleration.backends.registry import BACKENDS
from resnexus.architectures.catalog import architecture
from resnexus.benchmark.cell import Cell
from resnexus.benchmark.engines import engine, quick_engines
from resnexus.benchmark.environment import Environment
from resnexus.benchmark.latency import check_batch_sizes
from resnexus.benchmark.peaks import Peak
from resnexus.errors import ResnexusError, unknown
from resnexus.machine import check_threads

SCHEMA = 1
DEVICES = ("cpu", "cuda")


@dataclass(frozen=True, kw_only=True)
class BenchSettings:
    """What is timed, and how.

    Attributes:
        devices: of `"cpu"`, `"cuda"`.
        precisions: of `"fp32"`, `"bf16"`, `"fp16"`, `"int8"`.
        batch_sizes: images per call.
        engines: names of `engines.ENGINES`.
        image_size: pixels on a side.
        rounds: in how many rounds the engines take turns; each has one timed call in a round,
            after a quarter of a second of calls that are not timed.
        threads: CPU threads of every engine.
        plan_backends: the back ends that our own engine considers; None for all that are installed.
        plan_seconds: of each round of planning of our own engine.
    """

    devices: tuple[str, ...] = ("cpu",)
    precisions: tuple[str, ...] = ("fp32", "bf16")
    batch_sizes: tuple[int, ...] = (1, 8)
    engines: tuple[str, ...] = field(default_factory=quick_engines)
    image_size: int = 224
    rounds: int = 10
    threads: int = field(default_factory=lambda: check_threads(None))
    plan_backends: tuple[str, ...] | None = None
    plan_seconds: float = 10.0

    def __post_init__(self) -> None:
        for kind, given, known in (
            ("device", self.devices, DEVICES),
            ("precision", self.precisions, PRECISIONS),
            ("back end", self.plan_backends or (), BACKENDS),
        ):
            for name in given:
                if name not in known:
                    raise unknown(kind, name, known)
        for name in self.engines:
            engine(name)
        check_batch_sizes(self.batch_sizes)
        check_threads(self.threads)
        if self.rounds < 1 or self.image_size < 1:
            raise ResnexusError(f"rounds={self.rounds}, image_size={self.image_size}: expected at least 1")
        if not (self.devices and self.precisions and self.batch_sizes and self.engines):
            raise ResnexusError("nothing to time: name a device, a precision, a batch size and an engine at least")
        if "cuda" in self.devices and not torch.cuda.is_available():
            raise ResnexusError("device 'cuda': PyTorch sees no GPU here; use device 'cpu'")


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """Something that was not timed, and why."""

    model: str
    device: str
    precision: str
    batch_size: int
    engine: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What a benchmark measured.

    Cells of one network, device and batch size were timed together, call by call in turns.

    Attributes:
        environment: where.
        settings: how.
        peaks: of the machine, per device and precision.
        cells: one for each network, device, precision, batch size and engine.
        left_out: those that were not timed.
        schema: version of this layout.
    """

    environment: Environment
    settings: BenchSettings
    peaks: tuple[Peak, ...] = ()
    cells: tuple[Cell, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    schema: int = SCHEMA

    def has(self, model: str, device: str, batch_size: int) -> bool:
        """Whether a network was timed on a device at a batch size, as far as it could be."""
        entries: tuple[Cell | LeftOut, ...] = (*self.cells, *self.left_out)
        return any((entry.model, entry.device, entry.batch_size) == (model, device, batch_size) for entry in entries)

    def continues(self, settings: BenchSettings, here: Environment) -> bool:
        """Whether measurements with these settings, in this environment, belong into the same record."""
        return settings == self.settings and replace(here, date=self.environment.date) == self.environment


def groups(models: Sequence[str], settings: BenchSettings, before: Bench | None = None) -> list[tuple[str, str, int]]:
    """Return network, device and batch size of what is to be timed together, in the order of measuring.

    Args:
        models: names of networks.
        settings: what is timed.
        before: what this record has is left out.

    Raises:
        ResnexusError: an unknown network.
    """
    names = [architecture(model).name for model in models]
    wanted = [
        (name, device, size)
        for name in dict.fromkeys(names)
        for device in settings.devices
        for size in settings.batch_sizes
    ]
    return [group for group in wanted if before is None or not before.has(*group)]


def steps(settings: BenchSettings) -> int:
    """How often `run` reports a step in one group."""
    return len(settings.engines) * len(settings.precisions) + settings.rounds
