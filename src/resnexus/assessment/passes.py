"""Passes over the same images, each of which sees them in another way."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from resnexus.architectures.network import Network
from resnexus.assessment.counting import paired_with, share_of
from resnexus.assessment.images import Questions
from resnexus.assessment.settings import AssessmentSettings
from resnexus.data.batches import BadImage
from resnexus.data.preprocess import Preprocess
from resnexus.evaluation.corruptions.table import CORRUPTIONS
from resnexus.evaluation.predictions import Predictions, predict_all
from resnexus.evaluation.seen import Corrupt, SeenImages
from resnexus.evaluation.variations import at_size, sensitivities
from resnexus.progress import Progress
from resnexus.report.evaluation_record import Corrupted, Variation

Array = np.ndarray[Any, np.dtype[Any]]


class Passes:
    """Passes of one network over the same images.

    Args:
        network: on the device of the settings.
        questions: the images.
        settings: how they are run, and which are asked for.
        progress: where to report.
    """

    def __init__(
        self, network: Network, questions: Questions, settings: AssessmentSettings, progress: Progress
    ) -> None:
        self.network, self.questions, self.settings, self.progress = network, questions, settings, progress

    def run(
        self, preprocess: Preprocess, label: str, corrupt: Corrupt | None = None
    ) -> tuple[Predictions, tuple[BadImage, ...]]:
        """Return the logits of all images that can be read, and those that cannot."""
        questions, settings = self.questions, self.settings
        images = SeenImages(questions.originals, questions.labels, questions.classes, preprocess, corrupt)
        return predict_all(
            self.network,
            images,
            questions.labelling.competing,
            batch_size=settings.batch_size,
            device=settings.device,
            workers=settings.workers,
            precision=settings.precision,
            progress=self.progress,
            label=label,
        )

    def variations(self, plain: Predictions) -> Iterator[Variation]:
        """Yield what the network says of the same images, prepared otherwise."""
        base = self.questions.preprocess
        ways = [("size", f"{size} pixels", at_size(base, size)) for size in self.settings.sizes if size != base.size]
        if self.settings.sensitivity:
            ways += [("sensitivity", name, other) for name, other in sensitivities(base).items()]
        for kind, name, preprocess in ways:
            found, _ = self.run(preprocess, f"evaluating with {name}")
            yield Variation(
                kind=kind,
                name=name,
                preprocess=preprocess,
                top1=share_of(found, 1),
                top5=share_of(found, 5),
                paired=paired_with(found, plain),
            )

    def corruptions(self) -> Iterator[Corrupted]:
        """Yield what the network says of the same images, made worse."""
        for name in self.settings.corruptions:
            row = CORRUPTIONS[name]
            for severity in self.settings.severities:
                corrupt = partial(_corrupted, name, severity, self.settings.seed)
                found, _ = self.run(self.questions.preprocess, f"{name} {severity}", corrupt)
                yield Corrupted(
                    name=name, family=row.family, severity=severity, top1=share_of(found, 1), top5=share_of(found, 5)
                )


def _corrupted(name: str, severity: int, seed: int, pixels: Array, image: bytes) -> Array:
    # By name, so that a worker process can be given it.
    return CORRUPTIONS[name](pixels, severity, seed, image)
