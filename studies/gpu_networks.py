"""One network in all engines of `gpu_bench`: opened and compared with the plain network, then timed in turns.

float32 keeps all its bits meanwhile, in the peers as in our engine: no TF32.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from resnexus.acceleration.backends.contract import Candidate, Job, Runner, mapped
from resnexus.acceleration.cuda.device import event_ms, exact_on
from resnexus.acceleration.cuda.files import read_steps
from resnexus.acceleration.planning.judge import Referee, probe_images
from resnexus.acceleration.planning.timing import interleaved
from resnexus.architectures.catalog import architecture
from resnexus.benchmark.bench import LeftOut
from resnexus.benchmark.cell import Cell
from resnexus.benchmark.engines import ENGINES, OURS
from resnexus.benchmark.workload import Workload
from resnexus.parity.golden import golden_network
from resnexus.rewrites.table import free
from studies.gpu_floor import moved_bytes
from studies.gpu_record import Floor, Outcome, Profile
from studies.gpu_stages import profile
from studies.gpu_task import Measure, Setting, Task

LATE = ("compile_reduce_overhead", "compile_max_autotune")
"""What compiles for long, and is opened after all that opens in seconds."""

PROFILED = (1, 128)
"""Batch sizes of which it is looked at where the time goes."""


def network(task: Task, setting: Setting, folder: Path) -> Measure:
    """Open a network in all engines and cells of a task, as far as the time goes, and return what times them."""
    with exact_on(setting.device):
        opened = _Opened(task, setting, folder)
        for name in (name for name in task.engines if name not in LATE):
            opened.peers(name)
        for variant in task.variants:
            opened.variant(variant)
        for name in (name for name in task.engines if name in LATE):
            opened.peers(name)

    def measured() -> Outcome:
        with exact_on(setting.device):
            return opened.measured()

    return measured


class _Opened:
    """The runners of one network, each compared with the plain network as it is opened."""

    def __init__(self, task: Task, setting: Setting, folder: Path) -> None:
        self.task, self.setting = task, setting
        self.workload = Workload(golden_network(architecture(task.model)), folder)
        self.network = self.workload.builder.network_on(setting.device)
        self.runners: dict[tuple[str, int], dict[str, tuple[Runner, float, float]]] = {}
        self.left_out: list[LeftOut] = []
        self.floors: dict[tuple[str, int], Floor] = {}
        self._referees: dict[tuple[str, int], Referee] = {}
        self._longest: dict[str, float] = {}

    def peers(self, name: str) -> None:
        """Open an engine of the benchmark in all cells."""
        row = ENGINES[name]
        for precision, size in self.task.cells:
            reason = row.obstacle(self.task.model, self.setting.device, precision)
            if reason:
                self._leave_out(name, precision, size, reason)
            else:
                self._open(name, precision, size, partial(row.open, self.workload))

    def variant(self, kernels: str) -> None:
        """Open our engine in all cells."""
        for precision, size in self.task.cells:
            self._open(f"{OURS}:{kernels}", precision, size, partial(self._ours, kernels))

    def _ours(self, kernels: str, job: Job) -> Runner:
        builder = self.workload.builder
        candidate = Candidate("cuda", free(builder.row), {"kernels": kernels})
        folder = builder.files(candidate, job, self.workload.scratch)
        self.floors[job.precision, job.batch_size] = Floor(
            model=self.task.model,
            precision=job.precision,
            batch_size=job.batch_size,
            moved_bytes=moved_bytes(read_steps(folder), job),
        )
        return builder.load(candidate, job, folder)

    def _open(self, name: str, precision: str, size: int, open_it: Callable[[Job], Runner]) -> None:
        begin = time.monotonic()
        # What comes to no end in time is ended with all that is open in its process.
        if begin + self._longest.get(name, 0.0) > self.setting.deadline:
            self._leave_out(name, precision, size, "there was no time to open it")
            return
        job = self.setting.job(precision, size)
        try:
            if (precision, size) not in self._referees:
                self._referees[precision, size] = Referee(self.network, job)
            runner = open_it(job)
            # Some overwrite what they returned before.
            found = self._referees[precision, size].judge(lambda images: mapped(Tensor.cpu, runner(images)))
            self.runners.setdefault((precision, size), {})[name] = (runner, found.max_rel, found.cosine)
        except Exception as error:  # compilers and libraries fail in any way; the others still run
            self._leave_out(name, precision, size, f"{type(error).__name__}: {error}".splitlines()[0])
        finally:
            self._longest[name] = max(self._longest.get(name, 0.0), time.monotonic() - begin)
            if self.setting.device == "cuda":
                torch.cuda.empty_cache()  # other processes need it

    def _leave_out(self, engine: str, precision: str, size: int, reason: str) -> None:
        self.left_out.append(
            LeftOut(
                model=self.task.model,
                device=self.setting.device,
                precision=precision,
                batch_size=size,
                engine=engine,
                reason=reason,
            )
        )

    def measured(self) -> Outcome:
        """Time all cells, each with all its runners in turns, and profile our engine."""
        cells: list[Cell] = []
        for (precision, size), runners in self.runners.items():
            images = self._images(precision, size)
            times = interleaved(
                {name: partial(runner, images) for name, (runner, _, _) in runners.items()},
                rounds=self.setting.rounds,
                settle=0.0,
                timed=event_ms if self.setting.device == "cuda" else None,
            )
            cells += [self._cell(name, precision, size, taken) for name, taken in times.items()]
        found = Outcome(
            left_out=tuple(self.left_out),
            profiles=() if self.task.aside else tuple(self._profiles(cells)),
            floors=() if self.task.aside else tuple(self.floors.values()),
        )
        return replace(found, **{"aside" if self.task.aside else "cells": tuple(cells)})  # type: ignore[arg-type]

    def _profiles(self, cells: Sequence[Cell]) -> Iterator[Profile]:
        for precision, size in self.runners if self.setting.device == "cuda" else ():
            if size not in PROFILED:
                continue
            here = [cell for cell in cells if (cell.precision, cell.batch_size) == (precision, size)]
            ours = [cell for cell in here if cell.engine.startswith(f"{OURS}:")]
            if ours:
                runner = self.runners[precision, size][min(ours, key=lambda cell: cell.median_ms).engine][0]
                launches, kernels = profile(partial(runner, self._images(precision, size)))
                yield Profile(
                    model=self.task.model, precision=precision, batch_size=size, launches=launches, kernels=kernels
                )

    def _images(self, precision: str, size: int) -> Tensor:
        return probe_images(self.setting.job(precision, size)).to(self.setting.device)

    def _cell(self, name: str, precision: str, size: int, taken: list[float]) -> Cell:
        p10, median, p90 = np.percentile(taken, (10, 50, 90)).tolist()
        _, max_rel, cosine = self.runners[precision, size][name]
        return Cell(
            model=self.task.model,
            device=self.setting.device,
            precision=precision,
            batch_size=size,
            engine=name,
            image_size=self.setting.image_size,
            median_ms=median,
            p10_ms=p10,
            p90_ms=p90,
            repeats=len(taken),
            agreement=max_rel,
            cosine=cosine,
            rounds_ms=tuple(taken),
        )
