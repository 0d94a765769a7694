"""Whether a faster form of a network may stand for it: the images it is asked, and how close it must come.

Feature maps are judged one by one, each by its own largest value: a form is refused if any of them is too far off.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import isnan

import torch
from torch import Tensor

from resnexus.acceleration.backends.contract import DTYPES, Job, Output, Precision, Runner, joined, mapped
from resnexus.acceleration.cuda.device import exact_on
from resnexus.architectures.network import FeatureNetwork, Network
from resnexus.errors import ResnexusError
from resnexus.parity.agreement import FLOAT32_TOLERANCE, Agreement, MapAgreement, agreement, map_agreement
from resnexus.parity.golden import golden_images
from resnexus.rewrites.folding import cast

# A reordered sum may round differently, so a half-precision form may be this many times as far off as PyTorch's own.
HALF_PRECISION_SLACK = 3.0
# On a GPU sums are kept in float32 whatever the form, so that a form that rounds less often is no further off.
GPU_SLACK = 1.5
# The largest error of few logits says little; on a GPU more cost nothing.
FEWEST_GPU_IMAGES = 8
_HALF_PRECISIONS = ("bf16", "fp16")
# Quantisation is judged on data by whoever calibrates; this only refuses what has come apart, on any image.
INT8_COSINE = 0.9
# With fewer calibration images than this in the network's own class, int8 is used with a warning.
INT8_TOP1 = 0.95
# Maps of all calibration images would take gigabytes.
MOST_MAP_IMAGES = 16


class DisagreementError(ResnexusError):
    """A faster form that does not compute what the network computes."""


class Referee:
    """Compares runners of one job with the plain network in float32.

    Args:
        network: float32, in evaluation mode, on the device where runners take images: that of the job, or the CPU.
        job: what the runners are for.
        calibration: images of the user's: int8 is judged on all of them, or the maps of the first 16, a batch at a
            time, and all else on the first batch. Images from a formula if None.

    Attributes:
        images: (batch_size, C, H, W) float32, the first batch, on the device of the network.
        maps: numbers of the feature maps that the network returns; empty for logits.
        tolerances: how far the logits, or each of the maps, may be off.
    """

    def __init__(self, network: Network | FeatureNetwork, job: Job, calibration: Tensor | None = None) -> None:
        self.job = job
        self.maps = network.out_indices if isinstance(network, FeatureNetwork) else ()
        device = next(network.parameters()).device
        self.images = probe_images(job, calibration).to(device)
        self._all = self.images
        if job.device == "cuda" and job.precision in _HALF_PRECISIONS and job.batch_size < FEWEST_GPU_IMAGES:
            self._all = probe_images(replace(job, batch_size=FEWEST_GPU_IMAGES)).to(device)
        if calibration is not None and job.precision == "int8":
            self._all = calibration[:MOST_MAP_IMAGES] if self.maps else calibration
        with torch.inference_mode(), exact_on(device.type):
            self._expected = self._outputs(network, max(len(self._all), len(self.images)))
            self.tolerances = self._tolerances(network)

    @property
    def tolerance(self) -> float:
        """How far the logits may be off, or the map that may be furthest."""
        return max(self.tolerances)

    def _tolerances(self, network: Network | FeatureNetwork) -> tuple[float, ...]:
        if self.job.precision in _HALF_PRECISIONS:
            dtype = DTYPES[self.job.precision]
            half = cast(network, dtype)
            own = self._agreement(self._outputs(lambda images: half(images.to(dtype)), len(self._all)), len(self._all))
            slack = HALF_PRECISION_SLACK if self.job.device == "cpu" else GPU_SLACK
            return tuple(slack * part.max_rel for part in own.maps or (own,))
        return (FLOAT32_TOLERANCE,) * max(1, len(self.maps))

    def count(self, precision: Precision) -> int:
        """Return how many images a runner in some precision is judged on."""
        return len(self._all) if precision == self.job.precision else len(self.images)

    def judge(self, runner: Runner, precision: Precision | None = None) -> Agreement:
        """Return how closely a runner agrees.

        Args:
            runner: what is judged.
            precision: what it computes in; the job's if None.

        Raises:
            DisagreementError: not closely enough for the precision.
        """
        precision = self.job.precision if precision is None else precision
        count = self.count(precision)
        found = self._agreement(self._outputs(runner, count), count)
        if precision == "int8":
            if not found.cosine >= INT8_COSINE:
                raise DisagreementError(_apart(found, count))
            return found
        compared: Sequence[Agreement | MapAgreement] = found.maps or (found,)
        parts = tuple(zip(compared, self.tolerances, strict=True))
        if not all(part.max_rel <= tolerance for part, tolerance in parts):
            raise DisagreementError(_too_far(precision, *max(parts, key=_excess)))
        return found

    def _agreement(self, output: Output, count: int) -> Agreement:
        expected = mapped(lambda part: part[:count], self._expected)
        if isinstance(expected, Tensor) and isinstance(output, Tensor):
            return agreement(expected, output)
        return map_agreement(self.maps, list(expected), list(output))

    def _outputs(self, run: Callable[[Tensor], Output], count: int) -> Output:
        """Return what the first `count` images give, in batches of the job's size: the last is filled up."""
        size = self.job.batch_size
        found = joined([run(_batch(self._all, start, size)) for start in range(0, count, size)])
        return mapped(lambda part: part[:count], found)


def _excess(part: tuple[Agreement | MapAgreement, float]) -> float:
    found, tolerance = part
    if isnan(found.max_rel):
        return float("inf")
    return found.max_rel / tolerance if tolerance else found.max_rel


def _too_far(precision: str, found: Agreement | MapAgreement, tolerance: float) -> str:
    what = (
        f"map {found.index} in {precision} differs"
        if isinstance(found, MapAgreement)
        else f"the {precision} logits differ"
    )
    return f"{what} by {found.max_rel:.2e} of the largest, {tolerance:.2e} is allowed"


def _apart(found: Agreement, count: int) -> str:
    what, classes = "the int8 logits", ""
    if found.maps:
        what = f"the int8 values of map {min(found.maps, key=lambda part: part.cosine).index}"
    if found.top1 is not None:
        classes = f", and {found.top1:.1%} of the images get the same class"
    return (
        f"{what} of one of {count} images have a cosine of {found.cosine:.3f} with the network's, at least "
        f"{INT8_COSINE} is expected{classes}: calibrate with images that are like those to come, prepared in the same "
        "way"
    )


def _batch(images: Tensor, start: int, size: int) -> Tensor:
    """Return `size` images from `start` on; where they end, the first ones follow."""
    part = images[start : start + size]
    missing = size - len(part)
    if missing:
        repeats = -(-missing // len(images))
        part = torch.cat([part, images.repeat(repeats, 1, 1, 1)[:missing]])
    return part.contiguous()


def probe_images(job: Job, calibration: Tensor | None = None) -> Tensor:
    """Return (batch_size, C, H, W) float32 images, no two alike as far as there are enough.

    The first calibration images if there are any; else images from a formula, shifted from one to the next.
    """
    if calibration is not None:
        return _batch(calibration, 0, job.batch_size)
    pair = torch.from_numpy(golden_images(job.image_size))
    channels = pair[:, [channel % 3 for channel in range(job.in_chans)]]
    shifted = [channels[index % 2].roll((index // 2 * 5, index // 2 * 7), (1, 2)) for index in range(job.batch_size)]
    return torch.stack(shifted).contiguous()
