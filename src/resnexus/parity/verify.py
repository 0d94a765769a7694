"""The parity kit: does this network, in this form, compute what the original computes?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from resnexus.architectures.catalog import architecture
from resnexus.architectures.network import Network
from resnexus.architectures.spec import Architecture
from resnexus.parity.agreement import FLOAT32_TOLERANCE, FLOAT64_TOLERANCE, Agreement, agreement
from resnexus.parity.golden import IMAGE_SIZES, golden, golden_images, golden_weights
from resnexus.parity.traps import TRAPS, Trap
from resnexus.weights.layouts import PADDLE
from resnexus.weights.mapping import from_paddle, names

Candidate = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Check:
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


def verify(
    name: str,
    candidate: Candidate | None = None,
    *,
    dtype: torch.dtype = torch.float64,
    tolerance: float | None = None,
    image_sizes: Sequence[tuple[int, int]] = IMAGE_SIZES,
) -> list[Check]:
    """Compare a network, or any form of it, with the recorded output of the original implementation.

    Args:
        name: a network of the series.
        candidate: (N, 3, H, W) `dtype` images -> (N, 1000) logits, with the golden weights in it: a compiled or
            exported network, an engine, another library's. None checks our own network, stage by stage.
        dtype: of the images, and of our own network.
        tolerance: largest difference over the largest logit; 1e-9 for float64, 1e-4 otherwise, if None.
        image_sizes: of `golden.IMAGE_SIZES`.

    Raises:
        ResnexusError: no output is recorded for the name or a size, or the candidate's logits have another shape.
    """
    row = architecture(name)
    if tolerance is None:
        tolerance = FLOAT64_TOLERANCE if dtype == torch.float64 else FLOAT32_TOLERANCE
    subject = golden_network(row, dtype) if candidate is None else candidate
    return [_check(row, subject, size, dtype, tolerance) for size in image_sizes]


def golden_network(row: Architecture, dtype: torch.dtype = torch.float32) -> Network:
    """Return a network with the golden weights, in evaluation mode."""
    state = from_paddle(row, golden_weights(paddle_shapes(row)))
    with torch.device("meta"):
        network = Network(row)
    cast = {name: value.to(dtype) if value.is_floating_point() else value for name, value in state.items()}
    network.load_state_dict(cast, assign=True)
    return network.eval()


def paddle_shapes(row: Architecture) -> dict[str, tuple[int, ...]]:
    """Return the entries of the original's state, name -> shape."""
    with torch.device("meta"):
        state = Network(row).state_dict()
    return {
        theirs: tuple(reversed(state[ours].shape)) if storage == "transposed" else tuple(state[ours].shape)
        for ours, (theirs, storage) in names(PADDLE, row).items()
    }


@torch.inference_mode()
def _check(
    row: Architecture, subject: Candidate, image_size: tuple[int, int], dtype: torch.dtype, tolerance: float
) -> Check:
    expected = golden(row.name, image_size)
    images = torch.from_numpy(golden_images(image_size)).to(dtype)
    logits = subject(images)
    found = agreement(torch.from_numpy(expected.logits), logits)
    passed = found.within(tolerance)
    return Check(
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
    for trap in TRAPS:
        if trap.concerns(row):
            network = golden_network(row, dtype)
            trap.fall(network)
            if agreement(network(images), logits).within(tolerance):
                return trap
    return None
