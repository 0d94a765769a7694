"""The search for the fastest candidate: check each, time them in rounds, vary the best, combine what helped."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import final

from resnexus.acceleration.backends.contract import Backend, Candidate, Job, Precision, Runner
from resnexus.acceleration.cuda.device import event_ms
from resnexus.acceleration.planning.building import Builder
from resnexus.acceleration.planning.candidates import (
    PLAIN_CANDIDATE,
    combined,
    computes_in,
    first_round,
    second_round,
)
from resnexus.acceleration.planning.judge import Referee
from resnexus.acceleration.planning.plan import Plan, Trial
from resnexus.acceleration.planning.space import NoSpaceError
from resnexus.acceleration.planning.timing import SYSTEM_CLOCK, Clock, interleaved, ratio
from resnexus.parity.agreement import Agreement
from resnexus.progress import Progress

_log = logging.getLogger("resnexus")

# A variation replaces the best so far only where it is faster by more than a quiet machine's noise.
NOISE = 0.015

# The neighbour's threads wait for work no longer than this; those of ONNX Runtime for 80 ms.
SETTLE_S = 0.1

# A contender this much slower than the fastest after the heats is not timed further: noise is not as large as that.
HOPELESS = 1.3
HEATS = 2
MORE_ROUNDS = 3


@dataclass(kw_only=True)
class Contender:
    """A candidate that computes the right thing, with what was measured of it.

    Attributes:
        candidate: what it is.
        runner: runs it.
        files: what the runner was loaded from.
        agreement: with the plain network.
        median_ms: per batch, in the last round it took part in.
        ratio: its time over the plain network's.
    """

    candidate: Candidate
    runner: Runner
    files: Path
    agreement: Agreement
    median_ms: float = float("inf")
    ratio: float = float("inf")


@final
class Search:
    """One search, for one job.

    Args:
        builder: makes the candidates of a network.
        job: what to run.
        referee: says which of them compute the right thing.
        scratch: a folder for what they are built into.
        seconds: how long each of up to three rounds of timing takes, after the heats.
        progress: told before every round of timing.
        clock: what times are read from; another one than the system's is for tests.

    Attributes:
        trials: what was tried so far.
        complete: whether everything could be tried: what did not fit on the disk may be faster than what is chosen.
    """

    def __init__(
        self,
        builder: Builder,
        job: Job,
        referee: Referee,
        scratch: Path,
        *,
        seconds: float,
        progress: Progress,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.builder, self.job, self.referee, self.scratch = builder, job, referee, scratch
        self.seconds, self.progress, self.clock = seconds, progress, clock
        self.trials: list[Trial] = []
        self.complete = True

    def fastest(self, backends: Sequence[Backend]) -> tuple[Plan, Contender]:
        """Return the plan, and the contender that won: the plain network if nothing is faster.

        Raises:
            NoSpaceError: not even the plain network fits on the disk.
        """
        row = self.builder.row
        plain = self._contender(PLAIN_CANDIDATE)
        contenders = [plain, *self._admitted(first_round(row, backends))]
        plain.ratio = 1.0
        self._time(contenders, plain)
        plain_ms = plain.median_ms
        best = min(contenders, key=lambda entry: entry.ratio)
        del contenders  # and with them the memory of the slower ones

        varied = self._admitted(second_round(best.candidate, row, self.job))
        self._time([best, *varied], best)
        helped = sorted(
            (entry for entry in varied if entry.ratio < best.ratio * (1 - NOISE)), key=lambda entry: entry.ratio
        )
        del varied
        if helped:
            best = self._combined(best.candidate, helped)
        plan = Plan(
            candidate=best.candidate,
            median_ms=best.median_ms,
            plain_ms=plain_ms,
            ratio=best.ratio,
            agreement=best.agreement,
            images=self.referee.count(self._precision(best.candidate)),
            trials=tuple(self.trials),
        )
        return plan, best

    def _combined(self, base: Candidate, helped: list[Contender]) -> Contender:
        """Return the fastest of the variations that helped and of all their changes together; the best comes first."""
        together = combined(base, [entry.candidate for entry in helped])
        if together in [entry.candidate for entry in helped]:
            return helped[0]
        contenders = [*helped, *self._admitted([together])]
        self._time(contenders, helped[0])
        return min(contenders, key=lambda entry: entry.ratio)

    def _admitted(self, candidates: Sequence[Candidate]) -> list[Contender]:
        """Build, load and check candidates; those that fail are recorded with the reason, and said."""
        found = []
        for candidate in candidates:
            try:
                found.append(self._contender(candidate))
            except Exception as error:  # a compiler may fail in any way; the others still run
                self.complete &= not isinstance(error, NoSpaceError)
                reason = f"{type(error).__name__}: {error}".splitlines()[0]
                _log.warning("not used for %s: %s: %s", self.builder.row.name, candidate, reason)
                self.trials.append(Trial(candidate=str(candidate), note=reason))
        return found

    def _contender(self, candidate: Candidate) -> Contender:
        files = self.builder.files(candidate, self.job, self.scratch)
        runner = self.builder.load(candidate, self.job, files)
        agreement = self.referee.judge(runner, self._precision(candidate))
        return Contender(candidate=candidate, runner=runner, files=files, agreement=agreement)

    def _precision(self, candidate: Candidate) -> Precision:
        return computes_in(candidate, self.job)

    def _time(self, contenders: Sequence[Contender], reference: Contender) -> None:
        """Time contenders against one whose ratio to the plain network is known; those far behind drop out early."""
        if len(contenders) == 1 and contenders[0].median_ms < float("inf"):
            return
        self.progress.say(f"timing {len(contenders)} ways to run a batch of {self.job.batch_size}")
        images = self.referee.images
        calls = {index: partial(entry.runner, images) for index, entry in enumerate(contenders)}
        # On a GPU no threads wait for work, and the device itself tells the time.
        settle, timed = (0.0, event_ms) if self.job.device == "cuda" else (SETTLE_S, None)
        turns = partial(interleaved, settle=settle, timed=timed, clock=self.clock)
        times = turns(calls, rounds=HEATS)
        fastest = min(times, key=lambda index: median(times[index]))
        close = {index: call for index, call in calls.items() if ratio(times[index], times[fastest]) < HOPELESS}
        against = contenders.index(reference)
        # Where the reference itself is out, the fastest stands for it, at its ratio of the heats.
        anchor = against if against in close else fastest
        own = reference.ratio * ratio(times[anchor], times[against])
        if len(close) > 1:
            further = turns(close, rounds=MORE_ROUNDS, seconds=self.seconds, warmup=0)
            for index, found in further.items():
                times[index] += found
        for index, entry in enumerate(contenders):
            entry.median_ms = median(times[index])
            entry.ratio = own * ratio(times[index], times[anchor][: len(times[index])])
            self.trials.append(Trial(candidate=str(entry.candidate), median_ms=entry.median_ms, ratio=entry.ratio))
