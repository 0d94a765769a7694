"""The one definition of "the same model": how closely two sets of logits agree."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from resnexus.errors import ResnexusError

FLOAT64_TOLERANCE = 1e-9
FLOAT32_TOLERANCE = 1e-4


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How closely logits agree with reference logits.

    Attributes:
        max_abs: largest absolute difference; nan if either side has one.
        max_rel: `max_abs` over the largest absolute reference logit.
        cosine: smallest cosine between an image's two logit vectors.
        top1: fraction of the images whose largest logit is the same class.
    """

    max_abs: float
    max_rel: float
    cosine: float
    top1: float

    def within(self, tolerance: float) -> bool:
        """Whether `max_rel` is at most `tolerance`; never for nan."""
        return self.max_rel <= tolerance


def agreement(reference: Tensor, other: Tensor) -> Agreement:
    """Compare logits, both (N, classes) in any dtype and on any device, in float64.

    Raises:
        ResnexusError: the shapes differ, are not (N, classes), or hold nothing.
    """
    if reference.shape != other.shape or reference.ndim != 2 or reference.numel() == 0:
        raise ResnexusError(
            f"cannot compare logits of {tuple(reference.shape)} with {tuple(other.shape)}: expected (N, classes) twice"
        )
    a, b = reference.detach().cpu().double(), other.detach().cpu().double()
    max_abs = float((a - b).abs().max())
    largest = float(a.abs().max())
    norms = a.norm(dim=1) * b.norm(dim=1)
    cosines = (a * b).sum(dim=1) / norms.clamp(min=1e-300)
    return Agreement(
        max_abs=max_abs,
        max_rel=max_abs / largest if largest else max_abs,
        cosine=float(cosines.min()),
        top1=float((a.argmax(dim=1) == b.argmax(dim=1)).double().mean()),
    )
