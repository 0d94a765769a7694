"""Open the fastest form of a network: from the cache where it can, by a search where it must."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any, final

from torch import Tensor

from resnexus.acceleration.backends.contract import BackendError, Job, Runner
from resnexus.acceleration.backends.memory import memory_errors
from resnexus.acceleration.backends.registry import usable_backends, versions
from resnexus.acceleration.planning.building import Builder
from resnexus.acceleration.planning.cache import Cache, CacheWarning
from resnexus.acceleration.planning.candidates import PLAIN_CANDIDATE
from resnexus.acceleration.planning.judge import DisagreementError, Referee
from resnexus.acceleration.planning.plan import Plan
from resnexus.acceleration.planning.search import Search
from resnexus.architectures.network import Network
from resnexus.machine import processor, usable_cores

Scratch = Callable[[], Path]


class PlanWarning(UserWarning):
    """A plan that does not give what was asked for."""


@final
class Planner:
    """Opens one network for one job after another.

    A plan is kept under the processor, the versions of everything that computes, the row of the network and the job;
    not under its weights, so that a fine-tuned network needs no new search. What is built from the weights, and the
    check of what is built, are kept under the digest of the weights.

    Args:
        network: in any floating-point dtype, on any device; left as it is.
        cache: where plans and built networks are kept.
        backends: which back ends to consider; all that are installed if None.
        calibration: (K, C, H, W) float32 images for int8.
        seconds: how long each of up to three rounds of timing takes.
        progress: called with a sentence before every step that takes long.
        scratch: a folder on the disk of the cache for what is built and not kept, so that several planners of one
            network build it once; the caller's to remove. If None, one that `open` makes and removes.
    """

    def __init__(
        self,
        network: Network,
        cache: Cache,
        *,
        backends: Sequence[str] | None = None,
        calibration: Tensor | None = None,
        seconds: float = 10.0,
        progress: Callable[[str], None] = lambda sentence: None,
        scratch: Path | None = None,
    ) -> None:
        self.cache, self.backends, self.seconds, self.progress = cache, backends, seconds, progress
        self.scratch = scratch
        self.classes = network.num_classes
        self.builder = Builder(network, cache, calibration, progress)

    def open(self, jobs: Sequence[Job], *, replan: bool = False) -> dict[int, tuple[Job, Plan, Runner]]:
        """Return batch size -> the job, its plan and what runs it, as an `Engine` takes them.

        Args:
            jobs: what to run, each at another batch size; what is built for one serves the others as far as it can.
            replan: search even if there is a plan.

        Raises:
            ResnexusError: no back end runs a job here, it does not fit in memory, or the cache cannot be written.
        """
        with ExitStack() as stack:
            # Only made where something is built.
            scratch = cache(lambda: self.scratch or stack.enter_context(self.cache.scratch()))
            return {job.batch_size: (job, *self._open(job, scratch, replan=replan)) for job in jobs}

    def _open(self, job: Job, scratch: Scratch, *, replan: bool) -> tuple[Plan, Runner]:
        plan = None if replan else self.cache.read_plan(self._plan_key(job))
        if plan is not None:
            try:
                return self._planned(plan, job, scratch)
            except (BackendError, DisagreementError) as error:
                warnings.warn(f"the stored plan does not serve ({error}); planning again", CacheWarning, stacklevel=4)
        return self._searched(job, scratch)

    def _planned(self, plan: Plan, job: Job, scratch: Scratch) -> tuple[Plan, Runner]:
        candidate = plan.candidate
        files = self.cache.find_build(self.builder.key(candidate, job))
        if files is None:
            built = self.builder.files(candidate, job, scratch())
            files = self.cache.keep_build(self.builder.key(candidate, job), built)
        runner = self.builder.load(candidate, job, files)
        check = self.cache.read_check(self._check_key(plan, job))
        if check is None:
            precision = "fp32" if candidate == PLAIN_CANDIDATE else job.precision
            check = self._referee(job).judge(runner, precision)
            self.cache.write_check(self._check_key(plan, job), check)
        return replace(plan, agreement=check), runner

    def _searched(self, job: Job, scratch: Scratch) -> tuple[Plan, Runner]:
        usable = usable_backends(job.device, job.precision, self.backends)
        search = Search(self.builder, job, self._referee(job), scratch(), seconds=self.seconds, progress=self.progress)
        plan, winner = search.fastest(usable)
        if winner.files.is_relative_to(scratch()):
            self.cache.keep_build(self.builder.key(plan.candidate, job), winner.files)
        self.cache.write_check(self._check_key(plan, job), plan.agreement)
        self.cache.write_plan(self._plan_key(job), plan)
        if plan.candidate == PLAIN_CANDIDATE and job.precision != "fp32":
            tried = [trial for trial in plan.trials if trial.candidate != str(PLAIN_CANDIDATE)]
            reasons = [f"{trial.candidate}: {trial.note or f'{trial.ratio:.2f} of its time'}" for trial in tried]
            warnings.warn(
                f"nothing in {job.precision} is faster than the plain network in fp32 here, which is used instead: "
                + "; ".join(reasons),
                PlanWarning,
                stacklevel=5,
            )
        return plan, winner.runner

    def _referee(self, job: Job) -> Referee:
        with memory_errors(job):
            return Referee(self.builder.network, job, self.builder.calibration)

    def _plan_key(self, job: Job) -> dict[str, Any]:
        usable = usable_backends(job.device, job.precision, self.backends)
        return {
            "processor": processor(),
            "cores": usable_cores(),
            "versions": versions(usable, job.precision),
            "row": asdict(self.builder.row),
            "classes": self.classes,
            "job": asdict(job),
        }

    def _check_key(self, plan: Plan, job: Job) -> dict[str, Any]:
        options = dict(plan.candidate.options)
        return {"built": self.builder.key(plan.candidate, job), "options": options, "job": asdict(job)}
