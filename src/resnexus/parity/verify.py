"""The parity kit: does this network, in this form, compute what the original computes?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from resnexus.architectures.catalog import SERIES, architecture
from resnexus.architectures.network import Network
from resnexus.architectures.spec import Architecture
from resnexus.errors import ResnexusError
from resnexus.parity.agreement import FLOAT32_TOLERANCE, FLOAT64_TOLERANCE, Agreement, agreement
from resnexus.parity.golden import IMAGE_SIZES, golden, golden_images, golden_network
from resnexus.parity.traps import TRAPS, Trap
from resnexus.weights.detect import differing_fields

Candidate = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class GoldenCheck:
    """One comparison with the original's output at one image size.

    Attributes:
        image_size: (height, width).
        dtype: `"float64"` or `"float32"`.
        agreement: of the logits.
        tolerance: what `agreement.max_rel` may be.
        first_difference: name of the first stage whose mean or standard deviation differs from the original's by more
            than the tolerance; None if none does, or if the candidate shows only its logits.
        trap: the known mistake that gives these logits; None if the check passed or no known mistake does.
    """

    image_size: tuple[int, int]
    dtype: str
    agreement: Agreement
    tolerance: float
    first_difference: str | None
    trap: Trap | None

    @property
    def passed(self) -> bool:
        """Whether the logits agree within the tolerance."""
        return self.agreement.within(self.tolerance)


@dataclass(frozen=True, kw_only=True)
class Unrecorded:
    """Why a network cannot be compared with the original: the original never computed it.

    Attributes:
        reason: a sentence.
        other_function: whether the network is known to compute another function than the published one of its name.
    """

    reason: str
    other_function: bool


def unrecorded(row: Architecture) -> Unrecorded | None:
    """Return why there is no recorded output for a network; None if there is."""
    published = next((known for known in SERIES if known.name == row.name), None)
    if published is None:
        return Unrecorded(
            reason=f"no golden logits for {row.name!r}: they exist for the 24 networks of the series",
            other_function=False,
        )
    if row.cascade != published.cascade:
        return Unrecorded(
            reason=f"{row.name} with the authors' cascade is another function than the published {row.name}: it is "
            "that of the Res2Net authors and of timm, for which no golden logits exist",
            other_function=True,
        )
    if changed := differing_fields(row, published):
        return Unrecorded(
            reason=f"{row.name} with {changed} is another network than the published {row.name}, and no golden logits "
            "exist for it",
            other_function=True,
        )
    return None


def verify(
    model: str | Architecture,
    candidate: Candidate | None = None,
    *,
    dtype: torch.dtype = torch.float64,
    tolerance: float | None = None,
    image_sizes: Sequence[tuple[int, int]] = IMAGE_SIZES,
) -> list[GoldenCheck]:
    """Compare a network, or any form of it, with the recorded output of the original implementation.

    Args:
        model: a network of the series, or a row that is one.
        candidate: (N, 3, H, W) `dtype` images -> (N, 1000) logits, with the golden weights in it: a compiled or
            exported network, an engine, another library's. None checks our own network, stage by stage.
        dtype: of the images, and of our own network.
        tolerance: largest difference over the largest logit; 1e-9 for float64, 1e-4 otherwise, if None.
        image_sizes: of `golden.IMAGE_SIZES`.

    Raises:
        ResnexusError: no output is recorded for the network or a size, or the candidate's logits have another shape.
    """
    row = architecture(model)
    if missing := unrecorded(row):
        raise ResnexusError(missing.reason)
    if tolerance is None:
        tolerance = FLOAT64_TOLERANCE if dtype == torch.float64 else FLOAT32_TOLERANCE
    subject = golden_network(row, dtype) if candidate is None else candidate
    return [_check(row, subject, size, dtype, tolerance) for size in image_sizes]


@torch.inference_mode()
def _check(
    row: Architecture, subject: Candidate, image_size: tuple[int, int], dtype: torch.dtype, tolerance: float
) -> GoldenCheck:
    expected = golden(row.name, image_size)
    images = torch.from_numpy(golden_images(image_size)).to(dtype)
    logits = subject(images)
    found = agreement(torch.from_numpy(expected.logits), logits)
    passed = found.within(tolerance)
    return GoldenCheck(
        image_size=image_size,
        dtype=str(dtype).removeprefix("torch."),
        agreement=found,
        tolerance=tolerance,
        first_difference=None if passed else _first_difference(subject, images, expected.stages, tolerance),
        trap=None if passed else _trap(row, logits, images, dtype, tolerance),
    )


def _first_difference(
    subject: Candidate, images: Tensor, expected: Sequence[np.ndarray], tolerance: float
) -> str | None:
    if not isinstance(subject, Network):
        return None
    for (name, feature), (*_, mean, deviation) in zip(subject.stage_features(images).items(), expected, strict=True):
        values = feature.double()
        difference = max(abs(values.mean() - mean), abs(values.std(correction=0) - deviation))
        if not difference <= tolerance * deviation:
            return name
    return "head"


def _trap(row: Architecture, logits: Tensor, images: Tensor, dtype: torch.dtype, tolerance: float) -> Trap | None:
    """Return the mistake that explains the logits, by making each and looking."""
    plain = golden_network(row, dtype)
    for trap in TRAPS:
        if trap.concerns(row):
            network = deepcopy(plain)
            trap.fall(network)
            if agreement(network(images), logits).within(tolerance):
                return trap
    return None
