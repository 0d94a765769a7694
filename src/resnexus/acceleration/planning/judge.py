"""Whether a faster form of a network may stand for it: the images it is asked, and how close it must come."""

from __future__ import annotations

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
# Quantisation is judged on data by whoever calibrates; this only refuses what has come apart.
INT8_COSINE = 0.9


class DisagreementError(ResnexusError):
    """A faster form that does not compute what the network computes."""


class Referee:
    """Compares runners of one job with the plain network in float32.

    Args:
        network: float32, in evaluation mode.
        job: what the runners are for.
        calibration: images of the user's, which are then asked; images from a formula if None.
    """

    def __init__(self, network: Network, job: Job, calibration: Tensor | None = None) -> None:
        self.job = job
        self.images = probe_images(job, calibration)
        with torch.inference_mode():
            self.logits = network(self.images)
            if job.precision in _HALF_PRECISIONS:
                dtype = DTYPES[job.precision]
                own = cast(network, dtype)(self.images.to(dtype))
                self.tolerance = HALF_PRECISION_SLACK * agreement(self.logits, own).max_rel
            else:
                self.tolerance = FLOAT32_TOLERANCE if job.device == "cpu" else TF32_TOLERANCE

    def judge(self, runner: Runner, precision: Precision | None = None) -> Agreement:
        """Return how closely a runner agrees.

        Args:
            runner: what is judged.
            precision: what it computes in; the job's if None.

        Raises:
            DisagreementError: not closely enough for the precision.
        """
        precision = self.job.precision if precision is None else precision
        found = agreement(self.logits, runner(self.images))
        if precision == "int8":
            if not found.cosine >= INT8_COSINE:
                raise DisagreementError(
                    f"the int8 logits have a cosine of {found.cosine:.3f} with the network's, at least {INT8_COSINE} "
                    "is expected: calibrate with images that are like those to come, prepared in the same way"
                )
        elif not found.within(self.tolerance):
            raise DisagreementError(
                f"the {precision} logits differ by {found.max_rel:.2e} of the largest, {self.tolerance:.2e} is allowed"
            )
        return found


def probe_images(job: Job, calibration: Tensor | None = None) -> Tensor:
    """Return (batch_size, C, H, W) float32 images, no two alike as far as there are enough.

    The first calibration images if there are any; else images from a formula, shifted from one to the next.
    """
    if calibration is not None:
        repeats = -(-job.batch_size // len(calibration))
        return calibration.repeat(repeats, 1, 1, 1)[: job.batch_size].contiguous()
    pair = torch.from_numpy(golden_images(job.image_size))
    channels = pair[:, [channel % 3 for channel in range(job.in_chans)]]
    shifted = [channels[index % 2].roll((index // 2 * 5, index // 2 * 7), (1, 2)) for index in range(job.batch_size)]
    return torch.stack(shifted).contiguous()
