"""Forms of one network, float32 and int8, written as they will be used and asked the validation images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from resnexus.artefacts.artefact import Artefact
from resnexus.artefacts.formats.contract import Format
from resnexus.artefacts.graph import Deployed
from resnexus.artefacts.record import ArtefactRecord, Int8
from resnexus.assessment.counting import share_of
from resnexus.errors import ResnexusError, printable
from resnexus.evaluation.predictions import Predictions, predict_all
from resnexus.evaluation.significance import PairedAnswers, mcnemar
from resnexus.progress import Progress
from resnexus.quantisation.forms.contract import Form
from resnexus.quantisation.images import Images
from resnexus.quantisation.layers import QuantisableLayer, layers_of, operations_of
from resnexus.quantisation.settings import QuantisationSettings
from resnexus.report.printing import counted, percent, signed
from resnexus.report.quantisation_record import Step


@dataclass(frozen=True, kw_only=True, eq=False)
class QuantisationTrial:
    """One way to quantise, and what it answers.

    Attributes:
        model: as its format has it.
        put_back: layers that were kept in float32 for their sensitivity.
        int8: layers in int8.
        predictions: of the validation images.
        paired: int8 first, float32 second.
    """

    model: Any
    put_back: tuple[str, ...]
    int8: tuple[str, ...]
    predictions: Predictions
    paired: PairedAnswers

    @property
    def drop(self) -> float:
        """Points of top-1 that were lost, less those that were gained."""
        return -100 * self.paired.difference

    @property
    def step(self) -> Step:
        """The figures alone."""
        return Step(
            put_back=len(self.put_back), int8=len(self.int8), top1=share_of(self.predictions, 1).value, drop=self.drop
        )


class Trials:
    """Quantises one network in one format, as often as it is asked, and measures every result.

    Args:
        inner: the format.
        form: how its graphs are quantised.
        deployed: the network, rewritten.
        record: of the artefact in float32.
        images: to calibrate and to measure with.
        settings: of the quantisation.
        folder: for what is written to be measured.
        progress: told of every pass.

    Attributes:
        plain: the model in float32.
        record: of it.
        layers: convolutions and linear layers of the network.
        predictions: of the network in float32, of the validation images.
        steps: the figures of every trial so far.

    Raises:
        ResnexusError: the graph cannot be followed back to the network.
    """

    def __init__(
        self,
        inner: Format,
        form: Form,
        deployed: Deployed,
        record: ArtefactRecord,
        images: Images,
        settings: QuantisationSettings,
        folder: Path,
        progress: Progress,
    ) -> None:
        self._inner, self._form, self._images = inner, form, images
        self._settings, self._folder, self._progress = settings, folder, progress
        self.plain, self.record = inner.build(deployed, record)
        self.layers = layers_of(deployed.network)
        self._operations = operations_of(deployed.network, self.layers, form.weights(self.plain))
        self.predictions = self._asked(deployed.network, "float32 on the validation images")
        self.steps: list[Step] = []

    @property
    def candidates(self) -> tuple[QuantisableLayer, ...]:
        """The layers that are to be in int8: all but those of gates."""
        return tuple(layer for layer in self.layers if not layer.gate)

    def run(self, put_back: Sequence[str]) -> QuantisationTrial:
        """Quantise with some layers kept in float32, and measure.

        Raises:
            ResnexusError: no layer came to be in int8, or the answers are not finite.
        """
        self._progress.say(
            f"{self.record.row.name}: quantising with {counted(len(self._images.calibration), 'image')}"
            + (f", {counted(len(put_back), 'layer')} put back to float32" if put_back else "")
        )
        names = [self._operations[name] for name in put_back]
        model = self._form.quantised(self.plain, self._images.calibration, names)
        int8 = self._layers_in_int8(model)
        found = self._asked(self._opened(model, int8), "int8 on the validation images")
        trial = QuantisationTrial(
            model=model,
            put_back=tuple(put_back),
            int8=int8,
            predictions=found,
            paired=mcnemar(found.right, self.predictions.right),
        )
        self.steps.append(trial.step)
        self._progress.say(
            f"{self.record.row.name}: {percent(trial.step.top1)} % top-1 in int8, {signed(-trial.drop, 2)} points, "
            f"with {counted(len(int8), 'layer')} of {len(self.layers)} in int8"
        )
        return trial

    def described(self, trial: QuantisationTrial) -> ArtefactRecord:
        """Return the record of an artefact that is a trial's model."""
        return self._in_int8(trial.int8, trial.drop, len(trial.predictions.files))

    def _in_int8(self, layers: tuple[str, ...], drop: float, images: int) -> ArtefactRecord:
        left = tuple(layer.name for layer in self.layers if layer.name not in layers)
        return replace(self.record, int8=Int8(layers=layers, left=left, drop=drop, images=images))

    def _layers_in_int8(self, model: Any) -> tuple[str, ...]:
        found = self._form.in_int8(model)
        layers = tuple(layer.name for layer in self.layers if self._operations[layer.name] in found)
        if not layers:
            raise ResnexusError(
                f"{self.record.row.name}: of {counted(len(self.candidates), 'layer')} that {self._form.format} was to "
                "have in int8, none is: the library left the graph as it was; another --format may do"
            )
        return layers

    def _opened(self, model: Any, layers: tuple[str, ...]) -> Artefact:
        path = self._folder / f"trial{len(self.steps)}{self._inner.suffix}"  # the one before may still be mapped
        self._inner.write(model, self._in_int8(layers, 0.0, 0), path)
        return Artefact(printable(path), self._inner.open(path))

    def _asked(self, model: Any, label: str) -> Predictions:
        def answered(images: Tensor) -> Tensor:
            return torch.from_numpy(model(images.numpy()))

        found, _ = predict_all(
            answered if isinstance(model, Artefact) else model,
            self._images.validation,
            self._images.questions.labelling.competing,
            batch_size=self._settings.batch_size,
            workers=self._settings.workers,
            progress=self._progress,
            label=label,
        )
        return found
