"""The images of a quantisation: those that give the ranges, and apart from them those that accuracy is measured on."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
from torch import Tensor

from resnexus.assessment.images import Questions, open_questions
from resnexus.assessment.settings import AssessmentSettings
from resnexus.data.preprocess import Preprocess
from resnexus.data.sources import ImageError
from resnexus.errors import ResnexusError
from resnexus.evaluation.seen import Originals, SeenImages
from resnexus.progress import Progress
from resnexus.quantisation.settings import QuantisationSettings
from resnexus.subject import Subject


@dataclass(frozen=True, kw_only=True, eq=False)
class Images:
    """Two sets of images that have none in common.

    Attributes:
        questions: where the validation images are from, and what their labels are.
        validation: those that are used, prepared.
        calibration: (K, C, H, W) float32, prepared; of the images for training, not augmented.
    """

    questions: Questions
    validation: SeenImages
    calibration: Tensor


def open_images(
    data: str | os.PathLike[str], subject: Subject, settings: QuantisationSettings, progress: Progress
) -> Images:
    """Open the images of a data set, as `open_dataset` divides it: calibrate on its one part, validate on the other.

    Args:
        data: a folder or a name.
        subject: the network, with its classes and its preprocessing.
        settings: how many, and the seed of the draw.
        progress: told of the calibration images.

    Raises:
        ResnexusError: no such data set, class folders that are no classes of the network, images of other channels, or
            no image that can be read.
    """
    whole = open_questions(data, subject, AssessmentSettings(labels=settings.labels, part="all"))
    val = open_questions(data, subject, AssessmentSettings(labels=settings.labels, part="val"))
    training_images = len(whole.originals) - len(val.originals)
    chosen = _drawn(len(val.originals), settings.validation_images, settings.seed)
    return Images(
        questions=val,
        validation=SeenImages(val.originals.only(chosen), val.labels[chosen], val.classes, val.preprocess),
        calibration=_calibration(whole.originals, training_images, val.preprocess, settings, progress),
    )


def _drawn(count: int, most: int | None, seed: int) -> list[int]:
    """Return at most `most` of `count` numbers, drawn without replacement, rising."""
    order: list[int] = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()
    return sorted(order[:most])


def _calibration(
    originals: Originals, count: int, preprocess: Preprocess, settings: QuantisationSettings, progress: Progress
) -> Tensor:
    """Prepare images among the first `count`; for one that cannot be read another is drawn."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(settings.seed)).tolist()
    wanted, found = min(count, settings.calibration_images), list[Tensor]()
    with progress.stage("reading images to calibrate with", wanted) as step:
        for index in order:
            if len(found) == wanted:
                break
            try:
                found.append(preprocess(originals.source(index)))
            except ImageError:
                continue
            step()
    if not found:
        raise ResnexusError(f"none of {count} images for training could be decoded: there is nothing to calibrate with")
    return torch.stack(found)
