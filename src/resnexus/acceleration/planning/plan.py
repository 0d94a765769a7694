"""The record of a plan: what was chosen for one job on one machine, and what it was measured against."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from resnexus.acceleration.backends.contract import Candidate
from resnexus.acceleration.backends.registry import backend
from resnexus.errors import ResnexusError
from resnexus.parity.agreement import Agreement
from resnexus.rewrites.table import rewrite


class PlanError(ResnexusError):
    """A stored plan that cannot be read."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One candidate of a planning run.

    Attributes:
        candidate: in words.
        median_ms: per batch; None if it was not timed.
        ratio: its time over the plain network's, the median of the rounds; None if it was not timed.
        note: why it was not timed, or empty.
    """

    candidate: str
    median_ms: float | None = None
    ratio: float | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What runs one batch size.

    Attributes:
        candidate: the fastest.
        median_ms: milliseconds per batch when it was planned.
        plain_ms: the same of the network as it is, in PyTorch.
        ratio: median over the rounds of the one over the other; never above 1.
        agreement: of its logits with the plain network's in float32.
        trials: everything that was tried.
    """

    candidate: Candidate
    median_ms: float
    plain_ms: float
    ratio: float
    agreement: Agreement
    trials: tuple[Trial, ...] = ()

    def to_json(self) -> str:
        """Return the plan as JSON text."""
        return json.dumps(asdict(self) | {"candidate": _candidate_record(self.candidate)}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Read what `to_json` wrote.

        Raises:
            PlanError: anything else.
        """
        try:
            record = json.loads(text)
            _check_fields(cls, record)
            _check_fields(Agreement, record["agreement"])
            if not isinstance(record["trials"], list):
                raise PlanError("trials are a list")
            numbers = {name: _number(record[name]) for name in ("median_ms", "plain_ms", "ratio")}
            agreement = Agreement(**{name: _number(value) for name, value in record["agreement"].items()})
            trials = tuple(_trial(trial) for trial in record["trials"])
            return cls(candidate=_candidate(record["candidate"]), agreement=agreement, trials=trials, **numbers)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise PlanError(f"not a plan: {error}") from error


def _check_fields(kind: type, record: Mapping[str, Any]) -> None:
    expected = {field.name for field in fields(kind)}
    if not isinstance(record, dict) or record.keys() != expected:
        raise PlanError(f"expected a record of {', '.join(sorted(expected))}")


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise PlanError(f"expected a number, found {value!r}")
    return float(value)


def _trial(record: Mapping[str, Any]) -> Trial:
    _check_fields(Trial, record)
    numbers = {name: None if record[name] is None else _number(record[name]) for name in ("median_ms", "ratio")}
    return Trial(candidate=str(record["candidate"]), note=str(record["note"]), **numbers)


def _candidate_record(candidate: Candidate) -> dict[str, Any]:
    return {
        "backend": candidate.backend,
        "rewrites": list(candidate.rewrites),
        "options": dict(candidate.options),
    }


def _candidate(record: Mapping[str, Any]) -> Candidate:
    _check_fields(Candidate, record)
    rewrites, options = record["rewrites"], record["options"]
    names = [record["backend"], *rewrites, *options, *options.values()]
    if not isinstance(rewrites, list) or not all(isinstance(name, str) for name in names):
        raise PlanError("a candidate is a back end, a list of rewrites, and options, all of them texts")
    backend(record["backend"])
    for name in rewrites:
        rewrite(name)
    return Candidate(record["backend"], tuple(rewrites), options)
