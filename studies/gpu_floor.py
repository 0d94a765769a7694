"""What a network's steps have to move at least: the floor of its time where batches are large."""

from __future__ import annotations

import torch

from resnexus.acceleration.backends.contract import DTYPES, Job
from resnexus.acceleration.cuda.steps import Place, ProgramRecord, Step


def moved_bytes(record: ProgramRecord, job: Job) -> int:
    """Return what all steps read and write, each in one pass with its epilogue and its weights.

    A step reads the pixels under its windows: a 1x1 of stride 2 every fourth.

    Args:
        record: the steps.
        job: batch and image size, and the precision of all numbers.
    """
    size = torch.empty(0, dtype=DTYPES[job.precision]).element_size()
    return size * sum(_numbers(record, step, job) for step in record.steps)


def _numbers(record: ProgramRecord, step: Step, job: Job) -> int:
    def pixels(place: Place) -> int:
        images, _, height, width = record.values[place.value].shape(job.batch_size, job.image_size)
        return images * height * width

    read = pixels(step.x)
    if step.kind in ("convolve", "pair", "pool"):
        read = min(read, pixels(step.out) * step.kernel**2)
    entering = sum(place.channels * read for place in (step.x, step.addend) if place is not None)
    beside = sum(place.channels * pixels(place) for place in (step.residual, step.gate) if place is not None)
    return entering + beside + sum(place.channels * pixels(place) for place in step.writes()) + _weights(step)


def _weights(step: Step) -> int:
    inputs, outputs = step.x.channels, step.out.channels
    window = inputs // step.groups * step.kernel**2
    match step.kind:
        case "convolve":
            return outputs * (window + step.has_bias)
        case "pair":
            return inputs * (window + 1) + outputs * (inputs + 1)
        case "excite":
            squeezed = step.squeezed or 0
            return squeezed * (inputs + 1) + outputs * (squeezed + 1)
        case "classify":
            return outputs * (inputs + 1)
        case _:
            return 0
