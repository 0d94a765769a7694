"""How long each way takes for each step, measured on the device, within a time limit; kept for all networks.

The steps of networks are much alike: a table under the GPU and the versions of its software has them by what their
speed depends on, so that another network measures only what is new in it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, Protocol, final

import torch
from torch import Tensor

from resnexus.acceleration.backends.contract import BackendError, Job
from resnexus.acceleration.cuda.choosing import describe, unmeasured, ways_of
from resnexus.acceleration.cuda.device import device_key, event_ms, exact_float32
from resnexus.acceleration.cuda.pairs import pairs
from resnexus.acceleration.cuda.steps import Place, ProgramRecord, Step
from resnexus.acceleration.cuda.ways import Operands, Way, Weights, lies_in
from resnexus.claim import claimed
from resnexus.errors import ResnexusError
from resnexus.home import home
from resnexus.progress import Silent
from resnexus.records import RecordError, read_json, write_json

_log = logging.getLogger("resnexus")

REPEATS = 20
"""Calls in the graph that is timed: one alone would measure how long the graph takes to start."""

ROUNDS = 5
TOLERANCES = {"fp32": 1e-4, "fp16": 1e-2, "bf16": 5e-2}
"""How far the result of a way may be from that of the first, over the largest value: beyond it the way is wrong."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """What was measured on one device.

    Attributes:
        microseconds: description of a step -> name of a way, with its setting after a colon -> microseconds.
    """

    microseconds: dict[str, dict[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for step, ways in self.microseconds.items():
            for name, found in ways.items():
                if not 0 < found < float("inf"):
                    raise ResnexusError(f"{name} of {step}: {found} us: expected more than 0")

    def fastest(self, step: str) -> str | None:
        """Return the name of the fastest way of a step, or None if none was measured."""
        ways = self.microseconds.get(step, {})
        return min(ways, key=ways.__getitem__, default=None)

    def best(self, *steps: str) -> float | None:
        """Return the microseconds of the fastest ways of some steps together, or None if one was not measured."""
        found = [min(self.microseconds.get(step, {}).values(), default=None) for step in steps]
        known = [microseconds for microseconds in found if microseconds is not None]
        return sum(known) if len(known) == len(steps) else None


def table_file() -> Path:
    """Return where what is measured on this GPU, with the versions of its software, is kept."""
    return _tables() / f"{device_key()}.json"


def remove_tables() -> None:
    """Remove what was measured, on all GPUs."""
    for path in _tables().glob("*.json"):
        path.unlink(missing_ok=True)


def _tables() -> Path:
    return home() / "engines" / "tuning"


def read_table(path: Path) -> Table:
    """Return the table in a file: an empty one where there is no file, or where it is damaged, which is logged."""
    if not path.exists():
        return Table()
    try:
        return read_json(Table, path)
    except RecordError as error:
        _log.warning("what was measured of steps on this GPU is measured again: %s", error)
        return Table()


def write_table(table: Table, path: Path) -> None:
    """Write a table, with what other processes wrote meanwhile of other steps: one process at a time."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with claimed(path.parent, busy="another process writes what it measured to", wait=Silent()):
        there = read_table(path).microseconds
        write_json(Table(microseconds=there | table.microseconds), path)


class Measure(Protocol):
    """Times a call."""

    def __call__(self, call: Callable[[], object], /) -> float:
        """Return microseconds of one call."""
        ...


def on_the_device(call: Callable[[], object]) -> float:
    """Return microseconds of a call among others in a CUDA graph: the fastest of a few rounds."""
    with exact_float32(benchmark=True):
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                call()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            for _ in range(REPEATS):
                call()
        graph.replay()
        return 1e3 * min(event_ms(graph.replay) for _ in range(ROUNDS)) / REPEATS


@final
@dataclass
class Tuner:
    """Measures the steps of a network at one batch size.

    Attributes:
        record: the steps.
        weights: on the device.
        job: what they are for.
        ours: whether our kernels run here.
        measure: times a call.
        now: seconds since some moment.
    """

    record: ProgramRecord
    weights: Weights
    job: Job
    ours: bool
    measure: Measure
    now: Callable[[], float]

    def choices(self, table: Table, seconds: float) -> tuple[dict[str, str], Table]:
        """Measure what the table does not have, as far as the time goes.

        First all ways with their own settings, of the steps that move most bytes first, pairs of steps among them; then
        further settings.

        Args:
            table: what is known.
            seconds: after which nothing more is begun.

        Returns:
            Description of a step -> the way that it goes, and its setting after a colon; and the table with what was
            measured. Steps for which there was no time go as they go unmeasured. A pair has a way where that is faster
            than its two steps.
        """
        end = self.now() + seconds
        known = {step: dict(ways) for step, ways in table.microseconds.items()}
        for name, step, way, settings in self._trials():
            label = label_of(way, settings)
            if label in known.setdefault(name, {}):
                continue
            if self.now() >= end:
                _log.info("no time was left to measure %s, and what comes after it", name)
                break
            found = self._measured(step, way, settings)
            if found is not None:
                known[name][label] = found
        measured = Table(microseconds={step: ways for step, ways in known.items() if ways})
        usual = {
            describe(self.record, step, self.job): way.name
            for step, (way, _) in zip(self.record.steps, unmeasured(self.record, ours=self.ours), strict=True)
        }
        choices = {name: measured.fastest(name) or way for name, way in usual.items()}
        return choices | self._faster_pairs(measured), measured

    def _faster_pairs(self, table: Table) -> dict[str, str]:
        """Return description -> way of the pairs that are faster than their two steps apart."""
        found = {}
        for number, pair in pairs(self.record).items() if self.ours else ():
            name = describe(self.record, pair, self.job)
            apart = [describe(self.record, step, self.job) for step in self.record.steps[number : number + 2]]
            way, together, both = table.fastest(name), table.best(name), table.best(*apart)
            if way is not None and together is not None and both is not None and together < both:
                found[name] = way
        return found

    def _trials(self) -> Iterator[tuple[str, Step, Way, object]]:
        """Yield description, step, way and setting of everything that can be measured, the most useful first."""
        every = (*self.record.steps, *(pairs(self.record).values() if self.ours else ()))
        steps = {describe(self.record, step, self.job): step for step in every}
        order = sorted(steps.items(), key=lambda item: -self._numbers(item[1]))
        for name, step in order:
            for way in ways_of(step, ours=self.ours):
                yield name, step, way, None
        for name, step in order:
            for way in ways_of(step, ours=self.ours):
                yield from ((name, step, way, row) for row in self._settings(step, way))

    def _settings(self, step: Step, way: Way) -> tuple[object, ...]:
        """Return the settings of a kernel besides its own choice; none of one that cannot run, which was logged."""
        try:
            return () if way.settings is None else way.settings(self.operands(step))[1:]
        except Exception:  # it has just failed with its own choice, too
            return ()

    def _numbers(self, step: Step) -> int:
        places = (step.x, step.out)
        return sum(prod(self._shape(place.value)[2:]) * place.channels for place in places)

    def _measured(self, step: Step, way: Way, settings: object) -> float | None:
        """Return microseconds, or None of a way that fails or is wrong, which is logged."""
        name = describe(self.record, step, self.job)
        try:
            operands, right = self.operands(step, settings), self.operands(step)
            found, expected = self._run(way, operands), self._run(ways_of(step, ours=False)[0], right)
            _check(expected, found, TOLERANCES[self.job.precision])
            if operands.copy is not None and right.copy is not None:
                _check(right.copy, operands.copy, TOLERANCES[self.job.precision])
            return self.measure(lambda: self._run(way, operands))
        except Exception as error:  # a compiler may fail in any way; the others still run
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            _log.warning("not used for %s: %s: %s", name, label_of(way, settings), reason)
            return None

    def _run(self, way: Way, operands: Operands) -> Tensor:
        """Run a way as a program does: a result in memory of its own is copied where it is some channels of a value."""
        result, place = way.run(operands), operands.step.out
        is_part = place.channels < self.record.values[place.value].channels
        return operands.out.copy_(result) if is_part and not lies_in(result, operands.out) else result

    def operands(self, step: Step, settings: object = None) -> Operands:
        """Return random operands of a step, always the same, in memory of their own."""
        example = next(iter(self.weights.tensors.values()))
        generator = torch.Generator(example.device).manual_seed(0)
        values: dict[int, Tensor] = {}
        written: dict[int, Tensor] = {}

        def whole(value: int) -> Tensor:
            if value not in values:
                drawn = torch.randn(self._shape(value), generator=generator, device=example.device, dtype=torch.float32)
                values[value] = drawn.to(example.dtype, memory_format=torch.channels_last)
            return values[value]

        def read(place: Place) -> Tensor:
            return whole(place.value).narrow(1, place.first, place.channels)

        def room(place: Place) -> Tensor:
            if place.value not in written:
                written[place.value] = torch.full_like(whole(place.value), torch.nan)
            return written[place.value].narrow(1, place.first, place.channels)

        return Operands(step, read, room, self.weights, settings)

    def _shape(self, value: int) -> tuple[int, int, int, int]:
        return self.record.values[value].shape(self.job.batch_size, self.job.image_size)


def label_of(way: Way, settings: object) -> str:
    """Return the name of a way with its setting, as tables have it."""
    if settings is None:
        return way.name
    return f"{way.name}:{' '.join(f'{name}={value}' for name, value in vars(settings).items())}"


def setting(way: Way, text: str) -> object:
    """Return the setting that a table names.

    Raises:
        BackendError: it is none.
    """
    from resnexus.acceleration.cuda.kernels import settings

    try:
        numbers: Mapping[str, Any] = {name: int(value) for name, value in (word.split("=") for word in text.split())}
        return (settings.Product if "outputs" in numbers else settings.Tile)(**numbers)
    except (TypeError, ValueError) as error:
        raise BackendError(f"{way.name}:{text} is no setting of a kernel: {error}") from error


def _check(expected: Tensor, found: Tensor, tolerance: float) -> None:
    """Refuse what is further off than a tolerance, over the largest value."""
    a, b = expected.float(), found.float()
    off = float((a - b).abs().max()) / max(float(a.abs().max()), 1e-30)
    if not off <= tolerance:
        raise BackendError(f"its result is off by {off:.1e} of the largest")
