"""A format in int8: what `export` builds, compares and writes like any other."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

from resnexus.artefacts.formats.contract import Format, Opened
from resnexus.artefacts.graph import Deployed
from resnexus.artefacts.record import ArtefactRecord
from resnexus.errors import ResnexusError
from resnexus.progress import Progress
from resnexus.quantisation.control import fewest_put_back
from resnexus.quantisation.forms.contract import Form
from resnexus.quantisation.images import Images, open_images
from resnexus.quantisation.sensitivity import sensitivities
from resnexus.quantisation.settings import QuantisationSettings
from resnexus.quantisation.trials import QuantisationTrial, Trials
from resnexus.report.printing import counted, number, percent
from resnexus.subject import Subject

TOLERANCE = 0.5
"""Largest difference of a logit from the network's over the largest one. Accuracy is controlled on the validation
images; this only refuses what has come apart."""

_COMPARED = 16
"""Validation images on which the artefact is compared with the network as every artefact is."""

_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True, eq=False)
class Int8Outcome:
    """What was found on the way to an artefact in int8.

    Attributes:
        images: that it was found with.
        trials: all of them.
        chosen: the one that became the artefact.
        sensitivity: of the layers, if they were measured.
        deployed: the network, rewritten.
    """

    images: Images
    trials: Trials
    chosen: QuantisationTrial
    sensitivity: dict[str, float]
    deployed: Deployed


@final
class Int8Format(Format):
    """Another format, whose graph is quantised before it is written.

    Args:
        inner: the other format.
        form: how its graphs are quantised.
        data: what to calibrate and to measure with.
        settings: of the quantisation.
        progress: told of the steps.

    Attributes:
        outcome: what was found, once it is built.
    """

    tolerance = TOLERANCE

    def __init__(
        self,
        inner: Format,
        form: Form,
        data: str | os.PathLike[str],
        settings: QuantisationSettings,
        progress: Progress,
    ) -> None:
        self.inner, self.form, self.data = inner, form, data
        self.settings, self.progress = settings, progress
        self.name, self.suffix = inner.name, inner.suffix
        self.packages = (*inner.packages, *form.packages)
        self.rewrites, self.runs_code = inner.rewrites, inner.runs_code
        self.outcome: Int8Outcome | None = None

    def build(self, deployed: Deployed, record: ArtefactRecord) -> tuple[Any, ArtefactRecord]:
        """Return the quantised model that loses little enough, and its record.

        Raises:
            ResnexusError: there is none, or the images cannot be used.
        """
        if record.interface.multi_label:
            raise ResnexusError(
                f"{record.row.name} has classes that are questions of their own, and the loss of int8 is counted in "
                "images whose first class is right: give weights of one class for each image"
            )
        images = open_images(self.data, _subject(deployed, record), self.settings, self.progress)
        with tempfile.TemporaryDirectory() as folder:
            trials = Trials(self.inner, self.form, deployed, record, images, self.settings, Path(folder), self.progress)
            sensitivity: dict[str, float] = {}

            def most_sensitive_first() -> list[str]:
                names = [layer.name for layer in trials.candidates]
                sensitivity.update(sensitivities(deployed.network, names, images.calibration, self.progress))
                return sorted(names, key=sensitivity.__getitem__, reverse=True)

            chosen = fewest_put_back(trials.run, self._accepts, most_sensitive_first)
        if chosen is None:
            raise ResnexusError(self._missed(trials))
        read = (~images.validation.missing).nonzero()[:_COMPARED, 0].tolist()
        self.pictures = tuple(images.validation.originals.source(place) for place in read)
        self.outcome = Int8Outcome(
            images=images, trials=trials, chosen=chosen, sensitivity=sensitivity, deployed=deployed
        )
        described = trials.described(chosen)
        return chosen.model, replace(described, notes=(*described.notes, _note(described, len(trials.layers))))

    def write(self, built: Any, record: ArtefactRecord, path: Path) -> None:
        """Write it as the other format does."""
        self.inner.write(built, record, path)

    def open(self, path: Path, threads: int | None = None) -> Opened:
        """Open it as the other format does."""
        return self.inner.open(path, threads)

    def files(self, path: Path) -> tuple[Path, ...]:
        """Return the files of the other format."""
        return self.inner.files(path)

    def _accepts(self, trial: QuantisationTrial) -> bool:
        return trial.drop <= self.settings.max_drop + _ROUNDING

    def _missed(self, trials: Trials) -> str:
        best = min(trials.steps, key=lambda step: step.drop)
        fp32 = percent(float(trials.predictions.right.double().mean()))
        images = len(trials.predictions.files)
        return (
            f"{trials.record.row.name} in int8 loses more than max_drop={self.settings.max_drop:g} points of top-1 in "
            f"each of {counted(len(trials.steps), 'trial')}; nothing was written. The least lost are "
            f"{number(best.drop, 2)} points ({percent(best.top1)} % of {images} validation images against {fp32} % in "
            f"float32) with {counted(best.int8, 'layer')} in int8 and {best.put_back} put back to float32. One image "
            f"is {number(100 / images, 2)} points: allow more, or give more images"
        )


def _subject(deployed: Deployed, record: ArtefactRecord) -> Subject:
    """Return the network as those who open images know it."""
    return Subject(
        name=record.row.name,
        architecture=record.row.name,
        network=deployed.network,
        weights_sha256=record.weights_sha256 or "",
        classes=record.classes,
        preprocess=record.preprocess,
        published=None,
    )


def _note(record: ArtefactRecord, layers: int) -> str:
    """Say in one sentence what whoever runs the artefact should know."""
    if record.int8 is None:
        raise TypeError("expected the record of an artefact in int8")
    return (
        f"Computes in int8, {len(record.int8.layers)} of {layers} layers: {number(record.int8.drop, 2)} points of "
        f"top-1 lost on {counted(record.int8.images, 'image')}."
    )
