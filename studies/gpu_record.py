"""What `gpu_bench` leaves behind: the record of latencies that `resnexus bench` writes, and one of all the rest."""

from __future__ import annotations

from dataclasses import dataclass, replace

from resnexus.benchmark.bench import Bench, LeftOut
from resnexus.benchmark.cell import Cell
from resnexus.benchmark.engines import OURS
from resnexus.benchmark.environment import Environment
from resnexus.benchmark.peaks import Peak


@dataclass(frozen=True, kw_only=True)
class StepCheck:
    """One way to do one step, compared with float64.

    Attributes:
        step: all that its speed depends on, in words.
        way: what does it.
        max_rel: largest difference over the largest value; None if it failed.
        allowed: how far it may be off.
        note: why it failed, or empty.
    """

    step: str
    way: str
    max_rel: float | None
    allowed: float
    note: str = ""

    @property
    def holds(self) -> bool:
        """Whether it is close enough."""
        return self.max_rel is not None and self.max_rel <= self.allowed


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """One kernel of a profile: its name, how often one call launches it, and microseconds of all of these."""

    name: str
    count: float
    us: float


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Where the time of our engine goes.

    Attributes:
        model: name of the network.
        precision: of it.
        batch_size: images.
        launches: kernels and copies of one call.
        kernels: those that take most time.
    """

    model: str
    precision: str
    batch_size: int
    launches: float
    kernels: tuple[Kernel, ...]


@dataclass(frozen=True, kw_only=True)
class Floor:
    """What our engine has to move in one call of a network, each step in one pass with its epilogue.

    Attributes:
        model: name of the network.
        precision: of it.
        batch_size: images.
        moved_bytes: read and written, weights among them.
    """

    model: str
    precision: str
    batch_size: int
    moved_bytes: int


@dataclass(frozen=True, kw_only=True)
class Training:
    """A training step, forward, backward and update, ours and timm's in turns.

    Attributes:
        model: name of the network.
        timm: name of timm's.
        batch_size: images.
        ours_ms: median of our network's.
        timm_ms: of timm's.
    """

    model: str
    timm: str
    batch_size: int
    ours_ms: float
    timm_ms: float


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one task found; an empty one found nothing.

    Attributes:
        cells: latencies; of our engine one for each variant, named `resnexus:VARIANT`.
        aside: the same, timed in turns of their own.
        left_out: what was not timed, and why.
        steps: what was compared.
        profiles: of our engine.
        floors: what it has to move.
        peaks: of the device.
        chain_us: microseconds of a kernel in a chain of dependent ones, in a CUDA graph.
        training: steps.
        notes: what failed otherwise.
    """

    cells: tuple[Cell, ...] = ()
    aside: tuple[Cell, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    steps: tuple[StepCheck, ...] = ()
    profiles: tuple[Profile, ...] = ()
    floors: tuple[Floor, ...] = ()
    peaks: tuple[Peak, ...] = ()
    chain_us: float | None = None
    training: tuple[Training, ...] = ()
    notes: tuple[str, ...] = ()

    def __add__(self, other: Outcome) -> Outcome:
        """Return both together."""
        return Outcome(
            cells=self.cells + other.cells,
            aside=self.aside + other.aside,
            left_out=self.left_out + other.left_out,
            steps=self.steps + other.steps,
            profiles=self.profiles + other.profiles,
            floors=self.floors + other.floors,
            peaks=self.peaks + other.peaks,
            chain_us=self.chain_us if other.chain_us is None else other.chain_us,
            training=self.training + other.training,
            notes=self.notes + other.notes,
        )


@dataclass(frozen=True, kw_only=True)
class Checks:
    """Everything but latencies against peers; see `Outcome`.

    Attributes:
        environment: where it was measured.
        variants: latencies of our engine in every variant.
        aside: latencies of further engines and variants, timed in turns of their own.
    """

    environment: Environment
    variants: tuple[Cell, ...] = ()
    aside: tuple[Cell, ...] = ()
    steps: tuple[StepCheck, ...] = ()
    profiles: tuple[Profile, ...] = ()
    floors: tuple[Floor, ...] = ()
    chain_us: float | None = None
    training: tuple[Training, ...] = ()
    notes: tuple[str, ...] = ()


def records(found: Outcome, empty: Bench) -> tuple[Bench, Checks]:
    """Return what is written: in the first, our engine is the fastest of its variants in the same turns."""
    variants = tuple(cell for cell in found.cells if cell.engine.startswith(f"{OURS}:"))
    best: dict[tuple[str, str, int], Cell] = {}
    for cell in variants:
        place = (cell.model, cell.precision, cell.batch_size)
        if place not in best or cell.median_ms < best[place].median_ms:
            best[place] = cell
    peers = tuple(cell for cell in found.cells if cell not in variants)
    ours = tuple(replace(cell, engine=OURS, plan=f"cuda({cell.engine.partition(':')[2]})") for cell in best.values())
    bench = replace(empty, peaks=found.peaks, cells=peers + ours, left_out=found.left_out)
    checks = Checks(
        environment=empty.environment,
        variants=variants,
        aside=found.aside,
        steps=found.steps,
        profiles=found.profiles,
        floors=found.floors,
        chain_us=found.chain_us,
        training=found.training,
        notes=found.notes,
    )
    return bench, checks
