"""Time networks in many engines, the only way there is: each checked against the plain network, then all in turns."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import cast

import numpy as np
from torch import Tensor

from resnexus.acceleration.backends.contract import Job, Precision, Runner, mapped
from resnexus.acceleration.cuda.device import event_ms, exact_on
from resnexus.acceleration.engine import AnyEngine
from resnexus.acceleration.planning.cache import EngineCache
from resnexus.acceleration.planning.judge import Referee, probe_images
from resnexus.acceleration.planning.timing import interleaved
from resnexus.architectures.catalog import architecture
from resnexus.architectures.network import FeatureNetwork, Network
from resnexus.benchmark.bench import Bench, BenchSettings, Group, LeftOut, groups, steps
from resnexus.benchmark.cell import Cell
from resnexus.benchmark.engines import engine
from resnexus.benchmark.environment import Environment, environment
from resnexus.benchmark.peaks import Peak, peak
from resnexus.benchmark.workload import Workload
from resnexus.errors import ResnexusError
from resnexus.parity.agreement import Agreement
from resnexus.parity.golden import golden_features, golden_network
from resnexus.progress import Advance, Progress, Silent

CALIBRATION_IMAGES = 16

AnyNetwork = Network | FeatureNetwork

_log = logging.getLogger("resnexus")


def run(
    networks: Sequence[str] | Mapping[str, AnyNetwork],
    settings: BenchSettings,
    *,
    before: Bench | None = None,
    with_peaks: bool = True,
    cache_dir: Path | None = None,
    progress: Progress | None = None,
    title: str = "timing",
) -> Iterator[Bench]:
    """Yield the record as it grows: once with the peaks, and again after each group that was timed together.

    Args:
        networks: names of networks, which get weights from a formula; or name -> network, of any channels and
            classes, which is left as it is and returns what the settings say.
        settings: what is timed, and how.
        before: a record to go on with; what it has is not timed again.
        with_peaks: measure first what the machine itself can do, for the floor under every latency.
        cache_dir: where our own engine keeps plans; the usual place if None.
        progress: where to report; nowhere if None.
        title: of the stage that is reported.

    Raises:
        ResnexusError: an unknown network, something that this machine does not have, or `before` was measured with
            other settings or in another environment; names what differs.
    """
    progress = Silent() if progress is None else progress
    sources = _sources(networks, settings)
    settings.check_here()
    here = environment()
    _check_before(before, settings, here)
    missing = groups(list(sources), settings, before)
    record = before or Bench(
        environment=here, settings=settings, peaks=_peaks(settings, progress) if with_peaks else ()
    )
    yield record
    if not missing:
        return
    with progress.stage(title, sum(steps(group, settings) for group in missing)) as step:
        for models, of_these in groupby(missing, key=lambda group: group.models):
            chosen = {model: sources[model] for model in models}
            with _workloads(chosen, settings, cache_dir, progress) as workloads:
                for group in of_these:
                    progress.say(f"{', '.join(models)} on {group.device}, batch {group.batch_size}")
                    cells, left_out = _Timed(workloads, group, settings, progress, step).run()
                    record = replace(record, cells=(*record.cells, *cells), left_out=(*record.left_out, *left_out))
                    yield record


def _sources(
    networks: Sequence[str] | Mapping[str, AnyNetwork], settings: BenchSettings
) -> dict[str, Callable[[], AnyNetwork]]:
    """Return name -> what makes the network: one of the series is made only when its turn comes."""
    if isinstance(networks, Mapping):
        for name, network in networks.items():
            _check_given(name, network, settings)
        return {name: partial(_given, network) for name, network in networks.items()}
    settings.check_networks(networks)
    rows, stride = [architecture(name) for name in networks], settings.output_stride
    if settings.out_indices:
        return {row.name: partial(golden_features, row, settings.out_indices, stride) for row in rows}
    return {row.name: partial(golden_network, row, output_stride=stride) for row in rows}


def _given(network: AnyNetwork) -> AnyNetwork:
    return network


def _check_given(name: str, network: AnyNetwork, settings: BenchSettings) -> None:
    maps = network.out_indices if isinstance(network, FeatureNetwork) else ()
    strides = (settings.output_stride, network.architecture.reductions[-1])
    if maps != settings.out_indices or network.output_stride != next(filter(None, strides)):
        raise ResnexusError(
            f"{name} returns {'maps ' + ', '.join(map(str, maps)) if maps else 'logits'} at output stride "
            f"{network.output_stride}, the settings have out_indices={settings.out_indices} and output_stride="
            f"{settings.output_stride}"
        )


def _check_before(before: Bench | None, settings: BenchSettings, here: Environment) -> None:
    differences = [] if before is None else before.differences(settings, here)
    if differences:
        raise ResnexusError(
            f"the record that is there was measured with {'; '.join(differences)}: give another folder, or measure "
            "as the record was"
        )


def _peaks(settings: BenchSettings, progress: Progress) -> tuple[Peak, ...]:
    progress.say("measuring what the machine can do")
    return tuple(
        peak(device, precision, settings.threads) for device in settings.devices for precision in settings.precisions
    )


@contextmanager
def _workloads(
    sources: Mapping[str, Callable[[], AnyNetwork]],
    settings: BenchSettings,
    cache_dir: Path | None,
    progress: Progress,
) -> Iterator[dict[str, Workload]]:
    with EngineCache(cache_dir).scratch() as scratch:  # on the disk of what our own engine keeps
        workloads = {}
        for index, (name, create) in enumerate(sources.items()):
            network = create()
            folder = scratch / str(index)  # a name may hold what a path does not
            folder.mkdir()
            workloads[name] = Workload(
                network,
                folder,
                calibration=_calibration(network, settings),
                cache_dir=cache_dir,
                backends=settings.plan_backends,
                seconds=settings.plan_seconds,
                progress=progress,
            )
        yield workloads


def _calibration(network: AnyNetwork, settings: BenchSettings) -> Tensor | None:
    if "int8" not in settings.precisions:
        return None
    size = (settings.image_size, settings.image_size)
    return probe_images(Job(batch_size=CALIBRATION_IMAGES, in_chans=network.in_chans, image_size=size))


@dataclass(frozen=True)
class _Opened:
    """What runs a network in one engine and precision, and how closely it agrees with the plain network."""

    model: str
    engine: str
    precision: Precision
    runner: Runner
    agreement: Agreement


@dataclass(frozen=True)
class _Timed:
    """Opens the networks of one group in all engines and precisions, and times them together."""

    workloads: Mapping[str, Workload]
    group: Group
    settings: BenchSettings
    progress: Progress
    step: Advance

    def run(self) -> tuple[list[Cell], list[LeftOut]]:
        """Open, compare and time; float32 keeps all its bits on a GPU, too, in every engine that is PyTorch's."""
        with exact_on(self.group.device):
            return self._run()

    def _run(self) -> tuple[list[Cell], list[LeftOut]]:
        opened: list[_Opened] = []
        left_out: list[LeftOut] = []
        for model in self.group.models:
            for precision in cast("tuple[Precision, ...]", self.settings.precisions):
                found, missing = self._opened(model, precision)
                opened += found
                left_out += missing
        if not opened:
            self.step(self.settings.rounds)
            return [], left_out
        images = {model: self._images(model) for model in self.group.models}
        times = interleaved(
            {index: partial(entry.runner, images[entry.model]) for index, entry in enumerate(opened)},
            rounds=self.settings.rounds,
            settle=self.settings.settle_s,
            timed=event_ms if self.group.device == "cuda" else None,
            on_round=self.step,
        )
        return [self._cell(entry, times[index]) for index, entry in enumerate(opened)], left_out

    def _opened(self, model: str, precision: Precision) -> tuple[list[_Opened], list[LeftOut]]:
        workload, job = self.workloads[model], self._job(model, precision)
        network = workload.builder.network_on(job.device)
        referee = Referee(network, job, workload.calibration if precision == "int8" else None)
        found, missing = [], []
        for name in self.settings.engines:
            architecture_name, maps = workload.network.architecture.name, bool(self.settings.out_indices)
            reason = engine(name).obstacle(architecture_name, self.group.device, precision, maps=maps)
            if not reason:
                self.progress.say(f"  opening {name} in {precision}")
                try:
                    runner = engine(name).open(workload, job)
                    found.append(_Opened(model, name, precision, runner, referee.judge(self._at_home(runner))))
                except Exception as error:  # compilers and libraries fail in any way; the others still run
                    reason = f"{type(error).__name__}: {error}".splitlines()[0]
                    _log.warning("%s is left out for %s in %s: %s", name, model, precision, reason)
            if reason:
                missing.append(
                    LeftOut(
                        model=model,
                        device=self.group.device,
                        precision=precision,
                        batch_size=self.group.batch_size,
                        engine=name,
                        reason=reason,
                    )
                )
            self.step()
        return found, missing

    def _at_home(self, runner: Runner) -> Runner:
        """Let a runner on a device give tensors of the CPU: some of them overwrite what they returned before."""
        if self.group.device == "cpu":
            return runner
        return lambda images: mapped(Tensor.cpu, runner(images))

    def _images(self, model: str) -> Tensor:
        return probe_images(self._job(model, "fp32")).to(self.group.device)

    def _job(self, model: str, precision: Precision) -> Job:
        side = self.settings.image_size
        return Job(
            batch_size=self.group.batch_size,
            in_chans=self.workloads[model].network.in_chans,
            image_size=(side, side),
            precision=precision,
            device=self.group.device,
            threads=self.settings.threads,
        )

    def _cell(self, entry: _Opened, milliseconds: list[float]) -> Cell:
        p10, median, p90 = np.percentile(milliseconds, (10, 50, 90)).tolist()
        size = self.group.batch_size
        return Cell(
            model=entry.model,
            device=self.group.device,
            precision=entry.precision,
            batch_size=size,
            engine=entry.engine,
            image_size=self.settings.image_size,
            median_ms=median,
            p10_ms=p10,
            p90_ms=p90,
            repeats=len(milliseconds),
            agreement=entry.agreement.max_rel,
            cosine=entry.agreement.cosine,
            out_indices=self.settings.out_indices,
            output_stride=self.settings.output_stride,
            worst_map=entry.agreement.worst_map,
            plan=str(entry.runner.plans[size].candidate) if isinstance(entry.runner, AnyEngine) else None,
            rounds_ms=tuple(milliseconds),
        )
