"""An artefact of `resnexus export` as a runner: no network of ours is built for it."""

from __future__ import annotations

import os

import numpy as np
import torch
from torch import Tensor

from resnexus.artefacts.artefact import Array, Artefact, open_artefact
from resnexus.artefacts.record import HEATMAP, ArtefactRecord
from resnexus.data.preprocess import Preprocess
from resnexus.errors import ResnexusError, printable
from resnexus.prediction.runner import Answers, Card
from resnexus.prediction.settings import PredictionSettings


def open_exported(model: str | os.PathLike[str], settings: PredictionSettings) -> ArtefactRunner:
    """Open an artefact as what answers; other libraries compute in as many threads as PyTorch does now.

    Raises:
        ResnexusError: it cannot be opened, it can run code and is not trusted, or the settings ask for what it has
            not.
    """
    name = printable(model)
    artefact = open_artefact(model, trust_code=settings.trust_code, threads=torch.get_num_threads())
    record = artefact.record
    _check(settings, record, name)
    probe = artefact(artefact.prepare(np.zeros((8, 8, 3), np.uint8)))
    whole = record.interface.included == "full"
    multi_label = record.interface.multi_label if settings.multi_label is None else settings.multi_label
    card = Card(
        name=name,
        architecture=record.row.name,
        weights=record.weights_sha256 or record.weights,
        num_classes=probe.shape[1],
        classes=record.classes,
        preprocess=record.preprocess,
        multi_label=multi_label,
        batch_size=1 if record.interface.one_at_a_time else settings.batch_size,
        whole=whole,
        notes=record.notes,
    )
    return ArtefactRunner(card, artefact)


class ArtefactRunner:
    """Runs an artefact on images.

    Args:
        card: what it is.
        artefact: open; it takes as many images as the card says.
    """

    def __init__(self, card: Card, artefact: Artefact) -> None:
        self.card, self._artefact = card, artefact

    def __call__(self, images: Tensor) -> Answers:
        """Answer with logits, and with heat where the artefact gives it."""
        interface = self._artefact.record.interface
        outputs = {name: torch.from_numpy(value) for name, value in self._artefact.outputs(self._given(images)).items()}
        scores = outputs[interface.scores]
        if interface.included != "none":
            scores = _logits(scores, multi_label=interface.multi_label)
        return Answers(logits=scores, heat=outputs.get(HEATMAP))

    def _given(self, images: Tensor) -> Array:
        included = self._artefact.record.interface.included
        if included == "normalise":
            return _pixels(images, self.card.preprocess)
        given: Array = images.numpy()
        return given[0] if included == "full" else given

    def close(self) -> None:
        """Do nothing: the memory goes with the runner."""


def _check(settings: PredictionSettings, record: ArtefactRecord, name: str) -> None:
    asked = {
        "weights": settings.weights,
        "architecture": settings.architecture,
        "engine": None if settings.engine == "plain" else settings.engine,
        "precision": None if settings.precision == "fp32" else settings.precision,
        "device": None if settings.device == "cpu" else settings.device,
        "embeddings": settings.embeddings or None,
    }
    for option, value in asked.items():
        if value is not None:
            raise ResnexusError(f"{option}={value!r} has no effect on {name}: an artefact runs as it was exported")
    interface = record.interface
    if interface.maps:
        raise ResnexusError(f"{name} gives feature maps and no scores: `resnexus.open_artefact` runs it")
    if interface.one_at_a_time and settings.batch_size not in (1, PredictionSettings.batch_size):
        what = "prepares pictures itself," if interface.included == "full" else "takes images"
        raise ResnexusError(f"batch_size={settings.batch_size} has no effect on {name}: it {what} one at a time")
    if settings.heatmaps and not interface.heatmap:
        raise ResnexusError(
            f"{name} gives no heat map: export it with heatmap=True, or --heatmap, which the formats safetensors and "
            "web do not take"
        )
    if interface.included != "none" and settings.multi_label not in (None, interface.multi_label):
        raise ResnexusError(
            f"multi_label={settings.multi_label} against {name}: its probabilities are "
            f"{'sigmoids' if interface.multi_label else 'a softmax'} already"
        )


def _pixels(images: Tensor, preprocess: Preprocess) -> Array:
    """Return (N, H, W, C) uint8, what `Preprocess.normalise` made images of; a whole number is far from the next."""
    mean, std = (torch.tensor(numbers)[:, None, None] for numbers in (preprocess.mean, preprocess.std))
    found: Array = ((images * std + mean) * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return found


def _logits(probabilities: Tensor, *, multi_label: bool) -> Tensor:
    """Return logits of which the probabilities are these; finite ones, where a probability is 0 or 1 in float32."""
    smallest = torch.finfo(torch.float32).tiny
    if multi_label:
        return probabilities.clamp(smallest, 1 - 2**-24).logit()
    return probabilities.clamp(min=smallest).log()
