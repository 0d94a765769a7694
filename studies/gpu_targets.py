"""What our engine is to reach on a GPU, held against the records of `gpu_bench`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from resnexus.architectures.catalog import CATALOG, SERIES
from resnexus.architectures.complexity import complexity
from resnexus.benchmark.bench import Bench
from resnexus.benchmark.cell import Cell
from resnexus.benchmark.engines import OURS
from resnexus.benchmark.ratios import best_peer, geometric_mean, ratio_of
from resnexus.report.speed import BASELINE
from studies.gpu_record import Checks

COMPILER = "compile_reduce_overhead"
"""PyTorch's compiler with CUDA graphs: a network that it was not timed on has no best peer."""

_NAMES = tuple(row.name for row in SERIES)
_FIFTY = tuple(row.name for row in CATALOG.values() if row.block != "basic" and row.depths == CATALOG[BASELINE].depths)


@dataclass(frozen=True, kw_only=True)
class Target:
    """One figure to be reached.

    Attributes:
        what: in words.
        bound: at most so much.
        least: whether it is at least so much instead.
        found: None where it was not measured.
        over: how many networks were measured, and of how many.
        worst: the network that is furthest off; empty for a mean.
    """

    what: str
    bound: float
    least: bool = False
    found: float | None
    over: str
    worst: str = ""

    @property
    def verdict(self) -> str:
        """`met`, `missed` or `not measured`."""
        if self.found is None:
            return "not measured"
        return "met" if (self.found >= self.bound if self.least else self.found <= self.bound) else "missed"

    @property
    def text(self) -> str:
        """The target in one line."""
        bound = f"{'at least' if self.least else 'at most'} {self.bound:g}"
        if self.found is None:
            return f"{self.what}, {bound}: not measured"
        worst = f", {self.worst}" if self.worst else ""
        return f"{self.what}, {bound}: {self.found:.3f}{worst} ({self.over}): {self.verdict}"


def targets(bench: Bench, checks: Checks) -> list[Target]:
    """Return all targets, with what was found of each."""
    return [
        *_against_peers(bench),
        *_per_flop(bench),
        *_over_floors(bench, checks),
        *_never_behind(bench),
        _worst(
            "training: timm's time over ours",
            {entry.model: entry.timm_ms / entry.ours_ms for entry in checks.training},
            1.1,
            3,
            least=True,
        ),
    ]


def ratios(bench: Bench, precision: str, size: int) -> dict[str, float]:
    """Return network -> our time over the best peer's, of those on which the compiler was timed, too."""
    found = {}
    for cell in _ours(bench, precision, size).values():
        place = (cell.model, precision, size)
        engines = {peer.engine for peer in bench.cells if (peer.model, peer.precision, peer.batch_size) == place}
        peer = best_peer(bench.cells, cell, precision)
        if COMPILER in engines and peer is not None:
            found[cell.model] = ratio_of(cell, peer).median
    return found


def _ours(bench: Bench, precision: str, size: int, engine: str = OURS) -> dict[str, Cell]:
    return {
        cell.model: cell
        for cell in bench.cells
        if (cell.engine, cell.precision, cell.batch_size) == (engine, precision, size)
    }


def _against_peers(bench: Bench) -> Iterator[Target]:
    for size, mean in ((1, 0.5), (4, 0.5), (8, 0.5), (128, 0.6)):
        found = {name: ratio for name, ratio in ratios(bench, "fp16", size).items() if name in _NAMES}
        yield Target(
            what=f"fp16, batch {size}: ours over the best peer, geometric mean over the series",
            bound=mean,
            found=geometric_mean(list(found.values())) if found else None,
            over=_over(found, len(_NAMES)),
        )
        if size != 128:
            yield _worst(f"fp16, batch {size}: ours over the best peer, the largest", found, 0.7, len(_NAMES))


def _per_flop(bench: Bench) -> Iterator[Target]:
    for size in (8, 128):
        ours = _ours(bench, "fp16", size)
        own = {name: cell.median_ms / complexity(name).macs for name, cell in ours.items() if name in _FIFTY}
        for engine, words, bound in ((COMPILER, "PyTorch's compiler", 0.6), (OURS, "our engine", 1.05)):
            baseline = _ours(bench, "fp16", size, engine).get(BASELINE)
            unit = baseline.median_ms / complexity(BASELINE).macs if baseline else None
            found = {name: value / unit for name, value in own.items() if name != BASELINE} if unit else {}
            what = f"fp16, batch {size}: time per FLOP of 50 layers in our engine over {BASELINE}'s in {words}"
            yield _worst(what, found, bound, len(_FIFTY) - 1)


def _over_floors(bench: Bench, checks: Checks) -> Iterator[Target]:
    chain_us = checks.chain_us
    launches = {
        entry.model: entry.launches for entry in checks.profiles if (entry.precision, entry.batch_size) == ("fp16", 1)
    }
    found = {
        name: 1e3 * cell.median_ms / (launches[name] * chain_us)
        for name, cell in _ours(bench, "fp16", 1).items()
        if chain_us and launches.get(name)
    }
    yield _worst("fp16, batch 1: ours over the floor of a chain of as many kernels", found, 3.0, len(CATALOG))
    speed = next((peak.gbytes_s for peak in bench.peaks if (peak.device, peak.precision) == ("cuda", "fp16")), None)
    moved = {
        entry.model: entry.moved_bytes
        for entry in checks.floors
        if (entry.precision, entry.batch_size) == ("fp16", 128)
    }
    found = {
        name: cell.median_ms / (moved[name] / speed / 1e6)
        for name, cell in _ours(bench, "fp16", 128).items()
        if speed and name in moved
    }
    yield _worst("fp16, batch 128: ours over the floor of the bytes with fused epilogues", found, 1.5, len(CATALOG))


def _never_behind(bench: Bench) -> Iterator[Target]:
    for precision in ("bf16", "fp32"):
        sizes = dict.fromkeys(cell.batch_size for cell in bench.cells if cell.precision == precision)
        found = {
            f"{name} at batch {size}": ratio for size in sizes for name, ratio in ratios(bench, precision, size).items()
        }
        what = f"{precision}{' without TF32' if precision == 'fp32' else ''}: ours over the best peer, the largest"
        yield _worst(what, found, 1.0, None)


def _worst(what: str, found: Mapping[str, float], bound: float, of: int | None, *, least: bool = False) -> Target:
    worst = (min if least else max)(found, key=found.__getitem__, default="")
    return Target(
        what=what,
        bound=bound,
        least=least,
        found=found[worst] if found else None,
        over=_over(found, of),
        worst=worst,
    )


def _over(found: Collection[str], of: int | None) -> str:
    return f"{len(found)} measured" if of is None else f"{len(found)} of {of} networks"
