"""Open the fastest form of a network: from the cache where it can, by a search where it must."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any, final

from torch import Tensor

from resnexus.acceleration.backends.contract import Job, Runner
from resnexus.acceleration.backends.memory import OutOfMemoryError, memory_errors
from resnexus.acceleration.backends.registry import usable_backends, versions
from resnexus.acceleration.planning.building import Builder
from resnexus.acceleration.planning.builds import CacheError, CacheWarning
from resnexus.acceleration.planning.cache import EngineCache
from resnexus.acceleration.planning.candidates import PLAIN_CANDIDATE, computes_in
from resnexus.acceleration.planning.digests import computes_on
from resnexus.acceleration.planning.judge import INT8_TOP1, Referee
from resnexus.acceleration.planning.plan import Check, Plan
from resnexus.acceleration.planning.search import Contender, Search
from resnexus.acceleration.planning.space import NoSpaceError
from resnexus.acceleration.planning.timing import SYSTEM_CLOCK, Clock
from resnexus.architectures.network import FeatureNetwork, Network
from resnexus.errors import ResnexusError
from resnexus.machine import usable_cores
from resnexus.progress import Progress, Silent
from resnexus.trust import TrustError

Scratch = Callable[[], Path]


class PlanWarning(UserWarning):
    """A plan that does not give what was asked for."""


@final
class Planner:
    """Opens one network for one job after another.

    A plan is kept under the processor (or the GPU, its driver and its libraries), the versions of everything that
    computes, the job, the row of the network, its output stride, and what it returns: logits of so many classes, or
    which feature maps. It is not kept under the weights, so that a fine-tuned network needs no new search. What is
    built from the weights, and the check of what is built, are kept under the digest of the weights.

    Args:
        network: in any floating-point dtype, on any device; left as it is.
        cache: where plans and built networks are kept.
        backends: which back ends to consider; all that are installed if None.
        calibration: (K, C, H, W) float32 images for int8.
        seconds: how long each of up to three rounds of timing takes.
        progress: told before every step that takes long; nobody if None.
        scratch: a folder on the disk of the cache for what is built and not kept, so that several planners of one
            network build it once; the caller's to remove. If None, one that `open` makes and removes.
        clock: what times are read from; another one than the system's is for tests.
    """

    def __init__(
        self,
        network: Network | FeatureNetwork,
        cache: EngineCache,
        *,
        backends: Sequence[str] | None = None,
        calibration: Tensor | None = None,
        seconds: float = 10.0,
        progress: Progress | None = None,
        scratch: Path | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.cache, self.backends, self.seconds = cache, backends, seconds
        self.progress, self.scratch, self.clock = progress or Silent(), scratch, clock
        self.builder = Builder(network, cache, calibration, self.progress)

    def open(self, jobs: Sequence[Job], *, replan: bool = False) -> dict[int, tuple[Job, Plan, Runner]]:
        """Return batch size -> the job, its plan and what runs it, as an `Engine` takes them.

        Args:
            jobs: what to run, each at another batch size; what is built for one serves the others as far as it can.
            replan: search even if there is a plan.

        Raises:
            ResnexusError: no back end runs a job here, it does not fit in memory or on the disk, or the cache cannot
                be read or written, is somebody else's, or others may write there.
        """
        with ExitStack() as stack:
            # Only made where something is built.
            scratch = cache(lambda: self.scratch or stack.enter_context(self.cache.scratch()))
            opened = {job.batch_size: (job, *self._open(job, scratch, replan=replan)) for job in jobs}
        for job, plan, _ in opened.values():
            _warn_of_changed_classes(job, plan)
        return opened

    def _open(self, job: Job, scratch: Scratch, *, replan: bool) -> tuple[Plan, Runner]:
        key = self._plan_key(job)
        plan = None if replan else self.cache.read_plan(key)
        found = self._carried_out(plan, job, scratch)
        if found is not None:
            return found
        with self.cache.alone(key, lambda: self.progress.say("waiting for another process that plans the same")):
            latest = None if replan else self.cache.read_plan(key)
            found = self._carried_out(latest, job, scratch) if latest != plan else None
            return found or self._searched(job, key, scratch)

    def _carried_out(self, plan: Plan | None, job: Job, scratch: Scratch) -> tuple[Plan, Runner] | None:
        if plan is None:
            return None
        try:
            return self._planned(plan, job, scratch)
        except (CacheError, NoSpaceError, OutOfMemoryError, TrustError):
            raise
        except Exception as error:  # a compiler or a library may fail in any way: the plan may be damaged or old
            reason = str(error) if isinstance(error, ResnexusError) else f"{type(error).__name__}: {error}"
            warnings.warn(
                f"the stored plan does not serve ({reason.splitlines()[0]}); planning again",
                CacheWarning,
                stacklevel=5,
            )
            return None

    def _planned(self, plan: Plan, job: Job, scratch: Scratch) -> tuple[Plan, Runner]:
        runner = self.builder.load(plan.candidate, job, self._built(plan, job, scratch))
        check = self.cache.read_check(self._check_key(plan, job))
        if check is None:
            referee, precision = self._referee(job), computes_in(plan.candidate, job)
            check = Check(agreement=referee.judge(runner, precision), images=referee.count(precision))
            self.cache.write_check(self._check_key(plan, job), check)
        return replace(plan, agreement=check.agreement, images=check.images), runner

    def _built(self, plan: Plan, job: Job, scratch: Scratch) -> Path:
        """Return where the network that a plan names is, built for these weights: by one process at a time."""
        key = self.builder.key(plan.candidate, job)
        found = self.cache.find_build(key)
        if found is not None:
            return found
        with self.cache.alone(key, lambda: self.progress.say("waiting for another process that builds the same")):
            found = self.cache.find_build(key)
            if found is None:
                found = self.cache.keep_build(key, self.builder.files(plan.candidate, job, scratch()))
            return found

    def _searched(self, job: Job, key: Mapping[str, Any], scratch: Scratch) -> tuple[Plan, Runner]:
        usable = usable_backends(job.device, job.precision, self.backends)
        search = Search(
            self.builder,
            job,
            self._referee(job),
            scratch(),
            seconds=self.seconds,
            progress=self.progress,
            clock=self.clock,
        )
        plan, winner = search.fastest(usable)
        self._keep(plan, winner, job, key, scratch, complete=search.complete)
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

    def _keep(
        self, plan: Plan, winner: Contender, job: Job, key: Mapping[str, Any], scratch: Scratch, *, complete: bool
    ) -> None:
        """Keep what was found for the next time, where the disk has room for it and had room for all that was tried."""
        try:
            if not complete:
                raise NoSpaceError("there was no space on its disk for some of what was to be tried")
            if winner.files.is_relative_to(scratch()):
                self.cache.keep_build(self.builder.key(plan.candidate, job), winner.files)
            check = Check(agreement=plan.agreement, images=plan.images)
            self.cache.write_check(self._check_key(plan, job), check)
            self.cache.write_plan(key, plan)
        except NoSpaceError as error:
            warnings.warn(f"the plan is not kept, and made again next time: {error}", CacheWarning, stacklevel=6)

    def _referee(self, job: Job) -> Referee:
        with memory_errors(job):
            return Referee(self.builder.network_on(job.device), job, self.builder.calibration)

    def _plan_key(self, job: Job) -> dict[str, Any]:
        usable = usable_backends(job.device, job.precision, self.backends)
        return {
            **computes_on(job.device),
            **({"cores": usable_cores()} if job.device == "cpu" else {}),
            "versions": versions(usable, job.precision),
            **self.builder.function,
            "job": asdict(job),
        }

    def _check_key(self, plan: Plan, job: Job) -> dict[str, Any]:
        options = dict(plan.candidate.options)
        return {"built": self.builder.key(plan.candidate, job), "options": options, "job": asdict(job)}


def _warn_of_changed_classes(job: Job, plan: Plan) -> None:
    """Say where int8 changes the class of too many of the calibration images."""
    top1 = plan.agreement.top1
    if job.precision == "int8" and top1 is not None and top1 < INT8_TOP1:
        warnings.warn(
            f"in int8 only {top1:.1%} of the {plan.images} calibration images get the network's own "
            f"class at batch size {job.batch_size}: calibrate with more images that are like those to come, or use "
            "another precision",
            PlanWarning,
            stacklevel=4,
        )
