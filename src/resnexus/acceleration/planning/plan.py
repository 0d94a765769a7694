"""The record of a plan: what was chosen for one job on one machine, and what it was measured against."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite

from resnexus.acceleration.backends.contract import Candidate
from resnexus.acceleration.backends.registry import backend
from resnexus.errors import ResnexusError
from resnexus.parity.agreement import Agreement
from resnexus.rewrites.table import rewrite


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

    def __post_init__(self) -> None:
        for name in ("median_ms", "ratio"):
            value = getattr(self, name)
            if value is not None:
                _check_positive(name, value)


@dataclass(frozen=True, kw_only=True)
class Check:
    """How closely the logits or maps of a form agree with the plain network's in float32.

    Attributes:
        agreement: over all images.
        images: how many there were: a batch, or for int8 all calibration images (of maps, the first 16).
    """

    agreement: Agreement
    images: int

    def __post_init__(self) -> None:
        if self.images < 1:
            raise ResnexusError(f"images={self.images}: expected at least 1")
        for name in ("max_abs", "max_rel", "cosine", "top1"):
            for part in (self.agreement, *self.agreement.maps):
                value = getattr(part, name, None)
                lowest, highest = (0.0, inf) if name.startswith("max") else (-1.001, 1.001)  # a cosine is rounded
                if value is not None and not (isfinite(value) and lowest <= value <= highest):
                    raise ResnexusError(f"{name}={value}: expected from {lowest:g} to {highest:g}")
        if (self.agreement.top1 is None) != bool(self.agreement.maps):
            raise ResnexusError("top1: expected a fraction for logits, and none for maps")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What runs one batch size.

    Attributes:
        candidate: the fastest.
        median_ms: milliseconds per batch when it was planned.
        plain_ms: the same of the network as it is, in PyTorch.
        ratio: median over the rounds of the one over the other; never above 1.
        agreement: of its logits or maps with the plain network's in float32.
        images: how many images the agreement is over.
        trials: everything that was tried.
    """

    candidate: Candidate
    median_ms: float
    plain_ms: float
    ratio: float
    agreement: Agreement
    images: int
    trials: tuple[Trial, ...] = ()

    def __post_init__(self) -> None:
        backend(self.candidate.backend)
        for name in self.candidate.rewrites:
            rewrite(name)
        for field in ("median_ms", "plain_ms", "ratio"):
            _check_positive(field, getattr(self, field))
        Check(agreement=self.agreement, images=self.images)


def _check_positive(name: str, value: float) -> None:
    if not 0 < value < inf:
        raise ResnexusError(f"{name}={value}: expected a positive number")
