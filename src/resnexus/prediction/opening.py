"""Open what `--model` names as a runner: the one place that knows every kind."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from resnexus.architectures.network import FeatureNetwork, Network
from resnexus.artefacts.formats.registry import is_artefact
from resnexus.data.preprocess import Preprocess
from resnexus.devices import device_named
from resnexus.errors import ResnexusError, printable
from resnexus.models import RANDOM
from resnexus.prediction.exported import open_exported
from resnexus.prediction.runner import Card, FunctionRunner, MapRunner, Runner
from resnexus.prediction.settings import PredictionSettings
from resnexus.progress import Progress, Silent
from resnexus.subject import open_subject

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def open_runner(
    model: str | os.PathLike[str], settings: PredictionSettings, progress: Progress | None = None
) -> Runner:
    """Open what answers.

    Args:
        model: a published network (`NETWORK`, `NETWORK:TAG`, a checkpoint's name) or a file of weights, as
            `resnexus.subject.open_subject` takes them, with the settings' weights; or what `resnexus.export` wrote.
        settings: how it is asked.
        progress: told of a download, and of planning an engine.

    Raises:
        ResnexusError: no such network or file, or it does not fit the settings.
    """
    if is_artefact(Path(model)):
        return open_exported(model, settings)
    if settings.trust_code:
        raise ResnexusError(f"trust_code=True has no effect on {printable(model)}: it is for an exported artefact")
    device = device_named(settings.device)  # before anything is fetched
    progress = progress or Silent()
    card, network = _opened(model, settings, progress)
    if card.preprocess.in_chans != network.in_chans:
        raise ResnexusError(
            f"{card.name} takes images of {network.in_chans} channels, and the preprocessing gives "
            f"{card.preprocess.in_chans}; give the file a record with its own, as `resnexus train` writes it"
        )
    if settings.engine == "accelerated":
        return _accelerated(card, network, settings, progress)
    network = network.to(device)
    if settings.embeddings or settings.heatmaps:
        return MapRunner(card, partial(_cast, network.forward_features, device, settings.precision), network)
    return FunctionRunner(card, partial(_cast, network, device, settings.precision))


def _opened(model: str | os.PathLike[str], settings: PredictionSettings, progress: Progress) -> tuple[Card, Network]:
    subject = open_subject(model, settings.architecture, progress, weights=settings.weights)
    drawn, notes = settings.weights == RANDOM, list[str]()
    if drawn:
        notes.append("the weights are random: the answers mean nothing")
    elif subject.preprocess is None:
        notes.append("nothing is said of preprocessing: that of the published series is used")
    if subject.classes is None:
        notes.append("nothing is said of the classes: they have numbers only")
    recorded = subject.network.record.multi_label if subject.network.record else None
    card = Card(
        name=subject.name,
        architecture=subject.architecture,
        weights=RANDOM if drawn else subject.weights_sha256,
        num_classes=subject.network.num_classes,
        classes=subject.classes,
        preprocess=subject.preprocess or Preprocess(),
        multi_label=bool(recorded if settings.multi_label is None else settings.multi_label),
        batch_size=settings.batch_size,
        notes=tuple(notes),
    )
    return card, subject.network


def _cast(function: Callable[[Tensor], Tensor], device: torch.device, precision: str, images: Tensor) -> Tensor:
    """Run in a precision, on a device."""
    way = torch.autocast(device.type, dtype=_DTYPES[precision]) if precision in _DTYPES else nullcontext()
    with way:
        return function(images.to(device))


def _accelerated(card: Card, network: Network, settings: PredictionSettings, progress: Progress) -> Runner:
    from resnexus.acceleration.accelerate import accelerate
    from resnexus.acceleration.backends.contract import Precision

    def engine_of(model: Network | FeatureNetwork) -> Callable[[Tensor], object]:
        return accelerate(
            model,
            precision=cast("Precision", settings.precision),
            batch_sizes=card.batch_size,
            image_size=card.preprocess.size,
            progress=progress,
        )

    if not (settings.embeddings or settings.heatmaps):
        return FunctionRunner(card, partial(_filled, engine_of(network), card.batch_size))
    last = len(network.feature_info) - 1
    with torch.device("meta"):
        features = FeatureNetwork(network.architecture, (last,), network.in_chans, network.output_stride)
    state = network.state_dict()
    features.load_state_dict({name: state[name] for name in features.state_dict()}, assign=True)
    return MapRunner(card, partial(_filled, engine_of(features.eval()), card.batch_size), network)


def _filled(engine: Callable[[Tensor], object], batch_size: int, images: Tensor) -> Tensor:
    """Run an engine that was planned for one batch size: the last batch is filled up with zeros."""
    count = len(images)
    if count < batch_size:
        images = torch.cat([images, images.new_zeros(batch_size - count, *images.shape[1:])])
    found = engine(images)
    output: Tensor = found[0] if isinstance(found, list) else found  # type: ignore[assignment]  # of one map
    return output[:count]
