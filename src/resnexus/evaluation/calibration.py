"""Whether a network is as often right as it is sure, and the one number that makes it so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from resnexus.errors import ResnexusError
from resnexus.evaluation.metrics import check_shapes, check_some, predicted

BINS = 15
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.01, 100.0
"""Where the search for a temperature ends: logits that are always right, or that say nothing, have none."""

_STEPS = 80
_EXACT = 1e-9
_CHUNK = 4096
"""Images that are computed in float64 at a time."""


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Images of like confidence.

    Attributes:
        low: lower end, not in the bin.
        high: upper end, in the bin.
        images: how many.
        confidence: mean of the largest softmax probability; 0 without images.
        accuracy: fraction of them that are right; 0 without images.
    """

    low: float
    high: float
    images: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How far confidence and accuracy are apart, as the logits are and divided by a temperature.

    Attributes:
        bins: of the logits as they are.
        ece: expected calibration error of the logits as they are, 0 to 1.
        temperature: that minimises the negative log-likelihood of all images.
        ece_scaled: expected calibration error of logits divided by a temperature that other images gave: each half of
            the images, every second one, gets that of the other half.
        nll: mean negative log-likelihood of the logits as they are, in nats.
        nll_scaled: the same of the logits that `ece_scaled` is about.
    """

    bins: tuple[Bin, ...]
    ece: float
    temperature: float
    ece_scaled: float
    nll: float
    nll_scaled: float


def calibration(logits: Tensor, labels: Tensor, bins: int = BINS) -> Calibration:
    """Judge the confidences of a network, before and after scaling by a temperature.

    Args:
        logits: (N, classes), any floating-point dtype.
        labels: (N,) int64.
        bins: of equal width, at least 1.

    Raises:
        ResnexusError: shapes that do not fit, no image, or bins below 1.
    """
    found = reliability(logits, labels, bins)
    scaled = logits.to(torch.float64, copy=True)
    halves = [torch.arange(start, len(labels), 2, device=labels.device) for start in (0, 1)]
    if len(halves[1]):
        for own, other in (halves, halves[::-1]):
            scaled[own] = scaled[own] / fit_temperature(logits[other], labels[other])
    return Calibration(
        bins=found,
        ece=_error(found),
        temperature=fit_temperature(logits, labels),
        ece_scaled=expected_calibration_error(scaled, labels, bins),
        nll=_likelihood(logits, labels),
        nll_scaled=_likelihood(scaled, labels),
    )


def reliability(logits: Tensor, labels: Tensor, bins: int = BINS) -> tuple[Bin, ...]:
    """Sort images by their confidence: how sure and how often right are those of each bin?

    The confidence is the largest softmax probability; the bins are (0, 1/bins], (1/bins, 2/bins] and so on.

    Args and errors as for `calibration`.
    """
    check_shapes(logits, labels)
    check_some(labels)
    if bins < 1:
        raise ResnexusError(f"bins={bins}: expected at least 1")
    right = (predicted(logits) == labels).double()
    confidence = torch.cat([part.softmax(1).amax(1) for part, _ in _parts(logits, labels)])
    place = (confidence * bins).ceil().long().sub(1).clamp(0, bins - 1)
    sums = torch.zeros(3, bins, dtype=torch.float64, device=place.device)
    sums.index_add_(1, place, torch.stack([torch.ones_like(confidence), confidence, right]))
    return tuple(
        Bin(
            low=number / bins,
            high=(number + 1) / bins,
            images=round(images),
            confidence=sure / max(1.0, images),
            accuracy=hits / max(1.0, images),
        )
        for number, (images, sure, hits) in enumerate(sums.T.tolist())
    )


def expected_calibration_error(logits: Tensor, labels: Tensor, bins: int = BINS) -> float:
    """Mean over the images of |confidence - accuracy| of their bin: 0 is calibrated, 1 the worst.

    Guo et al. 2017, arXiv:1706.04599, equation 3; bins as in `reliability`.

    Args:
        logits: (N, classes), any floating-point dtype.
        labels: (N,) int64.
        bins: at least 1.

    Raises:
        ResnexusError: shapes that do not fit, no image, or bins below 1.
    """
    return _error(reliability(logits, labels, bins))


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """Return the T for which softmax(logits / T) has the least mean negative log-likelihood.

    Guo et al. 2017, arXiv:1706.04599, section 4.2. The loss is convex in 1 / T, so that its slope has one zero. It is
    found by Newton's steps, or by halving where these leave the range between `MIN_TEMPERATURE` and `MAX_TEMPERATURE`,
    at whose end the search stops if there is none.

    Args and errors as for `calibration`.
    """
    check_shapes(logits, labels)
    check_some(labels)
    low, high = 1 / MAX_TEMPERATURE, 1 / MIN_TEMPERATURE
    inverse = 1.0
    for _ in range(_STEPS):
        slope, curvature = _derivatives(logits, labels, inverse)
        low, high = (inverse, high) if slope <= 0 else (low, inverse)
        wanted = inverse - slope / curvature if curvature > 0 else high
        if not low < wanted < high:
            wanted = (low * high) ** 0.5
        if abs(wanted - inverse) <= _EXACT * inverse:
            break
        inverse = wanted
    return float(1 / wanted)


def _derivatives(logits: Tensor, labels: Tensor, inverse: float) -> tuple[float, float]:
    """Return the first two derivatives of the summed negative log-likelihood by 1 / T.

    They are the expected logit minus that of the label, and the variance of the logit, both under softmax(logits / T).
    """
    slope = curvature = 0.0
    for part, own in _parts(logits, labels):
        weights = (part * inverse).softmax(1)
        mean = (weights * part).sum(1)
        slope += float((mean - part.gather(1, own[:, None])[:, 0]).sum())
        curvature += float((weights * (part - mean[:, None]) ** 2).sum())
    return slope, curvature


def _likelihood(logits: Tensor, labels: Tensor) -> float:
    total = sum(float(torch.nn.functional.cross_entropy(*part, reduction="sum")) for part in _parts(logits, labels))
    return total / len(labels)


def _parts(logits: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    for start in range(0, len(labels), _CHUNK):
        yield logits[start : start + _CHUNK].double(), labels[start : start + _CHUNK]


def _error(bins: tuple[Bin, ...]) -> float:
    gaps = sum(found.images * abs(found.confidence - found.accuracy) for found in bins)
    return gaps / sum(found.images for found in bins)
