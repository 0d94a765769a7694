"""The one definition of "the same model": how closely logits, or feature maps, agree with those of another form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan

from torch import Tensor

from resnexus.errors import ResnexusError

FLOAT64_TOLERANCE = 1e-9
FLOAT32_TOLERANCE = 1e-4


@dataclass(frozen=True, kw_only=True)
class MapAgreement:
    """How closely one feature map agrees with the reference's.

    Attributes:
        index: number of the map, 0 for the stem's.
        max_abs: largest absolute difference; nan if either side has one.
        max_rel: `max_abs` over the largest absolute value of the reference's map.
        cosine: smallest cosine between an image's two maps, each taken as one vector.
    """

    index: int
    max_abs: float
    max_rel: float
    cosine: float


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How closely logits, or the feature maps of a network, agree with those of a reference.

    Attributes:
        max_abs: largest absolute difference; nan if either side has one. Of maps, that of the worst one.
        max_rel: `max_abs` over the largest absolute value of the reference. Of maps, the largest of all maps, each
            judged by its own largest value.
        cosine: smallest cosine between an image's two logit vectors, or two maps.
        top1: fraction of the images whose largest logit is the same class; None of maps.
        maps: each map on its own, in the order in which the network returns them; empty for logits.
    """

    max_abs: float
    max_rel: float
    cosine: float
    top1: float | None
    maps: tuple[MapAgreement, ...] = ()

    def within(self, tolerance: float) -> bool:
        """Whether `max_rel` is at most `tolerance`; never for nan."""
        return self.max_rel <= tolerance

    @property
    def worst_map(self) -> int | None:
        """Number of the map that is furthest off by its own largest value; None for logits."""
        return _worst(self.maps).index if self.maps else None

    @property
    def subject(self) -> str:
        """What was compared, as a sentence begins: `"logits"`, or `"map 3"`, the worst one."""
        return f"map {self.worst_map}" if self.maps else "logits"


def agreement(reference: Tensor, other: Tensor) -> Agreement:
    """Compare logits, both (N, classes) in any dtype and on any device, in float64.

    Raises:
        ResnexusError: the shapes differ, are not (N, classes), or hold nothing.
    """
    if reference.shape != other.shape or reference.ndim != 2 or reference.numel() == 0:
        raise ResnexusError(
            f"cannot compare logits of {tuple(reference.shape)} with {tuple(other.shape)}: expected (N, classes) twice"
        )
    max_abs, max_rel, cosine = _compared(reference, other)
    same = reference.detach().cpu().argmax(dim=1) == other.detach().cpu().argmax(dim=1)
    return Agreement(max_abs=max_abs, max_rel=max_rel, cosine=cosine, top1=float(same.double().mean()))


def map_agreement(indices: Sequence[int], reference: Sequence[Tensor], other: Sequence[Tensor]) -> Agreement:
    """Compare feature maps, each with its own counterpart, in float64.

    Args:
        indices: numbers of the maps.
        reference: per map (N, C, H, W), in any dtype and on any device.
        other: the same of the other form.

    Raises:
        ResnexusError: other maps than expected, shapes that differ or are not (N, C, H, W), or no values.
    """
    if not len(indices) == len(reference) == len(other) or not indices:
        raise ResnexusError(
            f"cannot compare {len(reference)} maps with {len(other)}: expected those of numbers "
            f"{', '.join(map(str, indices))} twice"
        )
    found = []
    for index, own, its in zip(indices, reference, other, strict=True):
        if own.shape != its.shape or own.ndim != 4 or own.numel() == 0:
            raise ResnexusError(
                f"cannot compare map {index} of {tuple(own.shape)} with {tuple(its.shape)}: expected (N, C, H, W) twice"
            )
        max_abs, max_rel, cosine = _compared(own.flatten(1), its.flatten(1))
        found.append(MapAgreement(index=index, max_abs=max_abs, max_rel=max_rel, cosine=cosine))
    worst = _worst(found)
    return Agreement(
        max_abs=worst.max_abs,
        max_rel=worst.max_rel,
        cosine=min(entry.cosine for entry in found),
        top1=None,
        maps=tuple(found),
    )


def _compared(reference: Tensor, other: Tensor) -> tuple[float, float, float]:
    """Return largest difference, that over the largest reference value, smallest cosine; both are (N, values)."""
    a, b = reference.detach().cpu().double(), other.detach().cpu().double()
    max_abs = float((a - b).abs().max())
    largest = float(a.abs().max())
    norms = a.norm(dim=1) * b.norm(dim=1)
    cosines = (a * b).sum(dim=1) / norms.clamp(min=1e-300)
    return max_abs, max_abs / largest if largest else max_abs, float(cosines.min())


def _worst(maps: Sequence[MapAgreement]) -> MapAgreement:
    return max(maps, key=lambda entry: float("inf") if isnan(entry.max_rel) else entry.max_rel)
