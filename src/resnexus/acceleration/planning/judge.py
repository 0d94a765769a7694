"""Whether a faster form of a network may stand for it: the images it is asked, and how close it must come."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from resnexus.acceleration.backends.contract import DTYPES, Job, Precision, Runner
from resnexus.architectures.network import Network
from resnexus.errors import ResnexusError
from resnexus.parity.agreement import FLOAT32_TOLERANCE, Agreement, agreement
from resnexus.parity.golden import golden_images
from resnexus.rewrites.folding import cast

# A reordered sum may round differently, so a half-precision form may be this many times as far off as PyTorch's own.
HALF_PRECISION_SLACK = 3.0
_HALF_PRECISIONS = ("bf16", "fp16")
# The processors of a GPU that multiply matrices keep 10 bits of float32, as those of its half precision.
TF32_TOLERANCE = 1e-2
# Quantisation is judged on data by whoever calibrates; this only refuses what has come apart, on any image.
INT8_COSINE = 0.9
# With fewer calibration images than this in the network's own class, int8 is used with a warning.
INT8_TOP1 = 0.95


class DisagreementError(ResnexusError):
    """A faster form that does not compute what the network computes."""


class Referee:
    """Compares runners of one job with the plain network in float32.

    Args:
        network: float32, in evaluation mode.
        job: what the runners are for.
        calibration: images of the user's: int8 is judged on all of them, a batch at a time, and all else on the first
            batch. Images from a formula if None.

    Attributes:
        images: (batch_size, C, H, W) float32, the first batch.
    """

    def __init__(self, network: Network, job: Job, calibration: Tensor | None = None) -> None:
        self.job = job
        self.images = probe_images(job, calibration)
        self._all = calibration if calibration is not None and job.precision == "int8" else self.images
        with torch.inference_mode():
            self.logits = self._logits(network, max(len(self._all), len(self.images)))
            if job.precision in _HALF_PRECISIONS:
                dtype = DTYPES[job.precision]
                lower = cast(network, dtype)
                own = lower(self.images.to(dtype))
                self.tolerance = HALF_PRECISION_SLACK * agreement(self.logits, own).max_rel
            else:
                self.tolerance = FLOAT32_TOLERANCE if job.device == "cpu" else TF32_TOLERANCE

    def count(self, precision: Precision) -> int:
        """Return how many images a runner in some precision is judged on."""
        return len(self._all) if precision == "int8" else len(self.images)

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
        found = agreement(self.logits[:count], self._logits(runner, count))
        if precision == "int8":
            if not found.cosine >= INT8_COSINE:
                raise DisagreementError(
                    f"the int8 logits of one of {count} images have a cosine of {found.cosine:.3f} with the "
                    f"network's, at least {INT8_COSINE} is expected, and {found.top1:.1%} of the images get the same "
                    "class: calibrate with images that are like those to come, prepared in the same way"
                )
        elif not found.within(self.tolerance):
            raise DisagreementError(
                f"the {precision} logits differ by {found.max_rel:.2e} of the largest, {self.tolerance:.2e} is allowed"
            )
        return found

    def _logits(self, run: Callable[[Tensor], Tensor], count: int) -> Tensor:
        """Return the logits of the first `count` images, in batches of the job's size: the last is filled up."""
        size = self.job.batch_size
        return torch.cat([run(_batch(self._all, start, size)) for start in range(0, count, size)])[:count]


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
