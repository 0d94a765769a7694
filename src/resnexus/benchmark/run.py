"""Time networks in many engines: each checked against the plain network first, then all of them in turns."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from resnexus.acceleration.backends.contract import Job, Precision, Runner
from resnexus.acceleration.engine import Engine
from resnexus.acceleration.planning.cache import Cache
from resnexus.acceleration.planning.judge import Referee, probe_images
from resnexus.acceleration.planning.timing import interleaved
from resnexus.architectures.catalog import architecture
from resnexus.architectures.network import Network
from resnexus.architectures.spec import Architecture
from resnexus.benchmark.bench import Bench, BenchSettings, LeftOut, groups
from resnexus.benchmark.cell import Cell
from resnexus.benchmark.engines import engine
from resnexus.benchmark.environment import environment
from resnexus.benchmark.peaks import Peak, peak
from resnexus.benchmark.subject import Subject
from resnexus.benchmark.timing import summary
from resnexus.errors import ResnexusError
from resnexus.parity.agreement import Agreement
from resnexus.parity.golden import golden_network

CALIBRATION_IMAGES = 16

SETTLE_S = 0.25
"""Seconds of untimed calls before the timed one of a turn: longer than any neighbour's threads wait for work."""

_log = logging.getLogger("resnexus")


@dataclass(frozen=True, kw_only=True)
class Watch:
    """Who is told how far a benchmark is.

    Attributes:
        begin: called with network, device and batch size before they are timed together.
        step: called `bench.steps(settings)` times for each of those.
        say: called with a sentence before every step that takes long.
    """

    begin: Callable[[str, str, int], object] = lambda model, device, batch_size: None
    step: Callable[[], object] = lambda: None
    say: Callable[[str], None] = lambda sentence: None


def run(
    models: Sequence[str],
    settings: BenchSettings,
    *,
    before: Bench | None = None,
    create: Callable[[Architecture], Network] = golden_network,
    cache_dir: Path | None = None,
    watch: Watch | None = None,
) -> Iterator[Bench]:
    """Yield the record as it grows: once with the peaks, and again after each network, device and batch size.

    Args:
        models: names of networks.
        settings: what is timed, and how.
        before: a record to go on with; what it has is not timed again.
        create: makes a network, in evaluation mode, from its row.
        cache_dir: where our own engine keeps plans; the usual place if None.
        watch: is told how far it is.

    Raises:
        ResnexusError: an unknown network, or `before` was measured with other settings or in another environment.
    """
    watch = watch or Watch()
    here = environment()
    if before is not None and not before.continues(settings, here):
        raise ResnexusError(
            "the record that is there was measured with other settings, on another machine or with other versions: "
            "give another folder"
        )
    missing = groups(models, settings, before)
    record = before or Bench(environment=here, settings=settings, peaks=_peaks(settings, watch))
    yield record
    for name, of_one in groupby(missing, key=lambda group: group[0]):
        with Cache(cache_dir).scratch() as scratch:  # on the disk of what our own engine keeps
            subject = Subject(
                create(architecture(name)),
                scratch,
                calibration=_calibration(settings),
                cache_dir=cache_dir,
                backends=settings.plan_backends,
                seconds=settings.plan_seconds,
                progress=watch.say,
            )
            for _, device, batch_size in of_one:
                watch.begin(name, device, batch_size)
                cells, left_out = _Group(subject, name, device, batch_size, settings, watch).timed()
                record = replace(record, cells=(*record.cells, *cells), left_out=(*record.left_out, *left_out))
                yield record


def _peaks(settings: BenchSettings, watch: Watch) -> tuple[Peak, ...]:
    watch.say("measuring what the machine can do")
    return tuple(
        peak(device, precision, settings.threads) for device in settings.devices for precision in settings.precisions
    )


def _calibration(settings: BenchSettings) -> Tensor | None:
    if "int8" not in settings.precisions:
        return None
    return probe_images(Job(batch_size=CALIBRATION_IMAGES, image_size=(settings.image_size, settings.image_size)))


@dataclass(frozen=True)
class _Opened:
    """What runs a network in one engine and precision, and how closely it agrees with the plain network."""

    engine: str
    precision: Precision
    runner: Runner
    agreement: Agreement


@dataclass(frozen=True)
class _Group:
    """One network on one device at one batch size: all engines and precisions, timed together."""

    subject: Subject
    model: str
    device: str
    batch_size: int
    settings: BenchSettings
    watch: Watch

    def timed(self) -> tuple[list[Cell], list[LeftOut]]:
        opened: list[_Opened] = []
        left_out: list[LeftOut] = []
        for precision in cast("tuple[Precision, ...]", self.settings.precisions):
            found, missing = self._opened(precision)
            opened += found
            left_out += missing
        if not opened:
            return [], left_out
        images = self._images()
        times = interleaved(
            {index: partial(entry.runner, images) for index, entry in enumerate(opened)},
            rounds=self.settings.rounds,
            settle=SETTLE_S,
            synchronise=torch.cuda.synchronize if self.device == "cuda" else None,
            on_round=self.watch.step,
        )
        return [self._cell(entry, times[index]) for index, entry in enumerate(opened)], left_out

    def _opened(self, precision: Precision) -> tuple[list[_Opened], list[LeftOut]]:
        job = self._job(precision)
        referee = Referee(self.subject.network, job, self.subject.calibration if precision == "int8" else None)
        found, missing = [], []
        for name in self.settings.engines:
            reason = engine(name).obstacle(self.model, self.device, precision)
            if not reason:
                self.watch.say(f"opening {name} in {precision}")
                try:
                    runner = engine(name).open(self.subject, job)
                    agreement = referee.judge(self._at_home(runner))
                    found.append(_Opened(name, precision, runner, agreement))
                except Exception as error:  # compilers and libraries fail in any way; the others still run
                    reason = f"{type(error).__name__}: {error}".splitlines()[0]
                    _log.warning("%s is left out for %s in %s: %s", name, self.model, precision, reason)
            if reason:
                missing.append(
                    LeftOut(
                        model=self.model,
                        device=self.device,
                        precision=precision,
                        batch_size=self.batch_size,
                        engine=name,
                        reason=reason,
                    )
                )
            self.watch.step()
        return found, missing

    def _at_home(self, runner: Runner) -> Runner:
        """Let a runner on a device take and give tensors of the CPU."""
        if self.device == "cpu":
            return runner
        return lambda images: runner(images.to(self.device)).cpu()

    def _images(self) -> Tensor:
        return probe_images(self._job("fp32")).to(self.device)

    def _job(self, precision: Precision) -> Job:
        side = self.settings.image_size
        return Job(
            batch_size=self.batch_size,
            in_chans=self.subject.network.in_chans,
            image_size=(side, side),
            precision=precision,
            device=self.device,
            threads=self.settings.threads,
        )

    def _cell(self, entry: _Opened, milliseconds: list[float]) -> Cell:
        timing = summary(milliseconds)
        return Cell(
            model=self.model,
            device=self.device,
            precision=entry.precision,
            batch_size=self.batch_size,
            engine=entry.engine,
            image_size=self.settings.image_size,
            median_ms=timing.median_ms,
            p10_ms=timing.p10_ms,
            p90_ms=timing.p90_ms,
            repeats=timing.repeats,
            agreement=entry.agreement.max_rel,
            cosine=entry.agreement.cosine,
            plan=str(entry.runner.plans[self.batch_size].candidate) if isinstance(entry.runner, Engine) else None,
            rounds_ms=tuple(milliseconds),
        )
