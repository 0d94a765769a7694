"""A network by name or from a file of weights, for whoever runs it, and what its outputs mean."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from resnexus.architectures.network import Network
from resnexus.data.preprocess import Preprocess
from resnexus.errors import ResnexusError, printable
from resnexus.models import RANDOM, create_model, open_trained
from resnexus.progress import Progress
from resnexus.series.checkpoints import Checkpoint, checkpoints
from resnexus.series.imagenet import imagenet_classes
from resnexus.weights.checkpoint_file import CheckpointRecord, sha256
from resnexus.weights.pretrained import names_file

_SEED = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """A network to run.

    Attributes:
        name: as it was asked for.
        architecture: name of its row.
        network: in evaluation mode.
        weights_sha256: of the file of weights; empty for random ones.
        classes: what its outputs stand for; None if nobody says.
        preprocess: how its images are prepared; None if nobody says.
        published: the checkpoint that its weights are; None if they are others.
    """

    name: str
    architecture: str
    network: Network
    weights_sha256: str
    classes: tuple[str, ...] | None
    preprocess: Preprocess | None
    published: Checkpoint | None


def open_subject(
    model: str | os.PathLike[str],
    architecture: str | None = None,
    progress: Progress | None = None,
    *,
    weights: str | os.PathLike[str] | None = None,
) -> Subject:
    """Open a network with trained weights, or with random ones where that is asked for.

    Args:
        model: a published network, `NETWORK`, `NETWORK:TAG` or a checkpoint's name; or a file of weights: a path
            object, or a string with a folder or the suffix of such a file.
        architecture: the network of a file, where names and shapes cannot tell.
        progress: told of a download.
        weights: for a network by its bare name: a tag, a file of weights, or `"random"`.

    Raises:
        ResnexusError: no such network or file, weights that fit no network, no last layer, or something else than a
            name or a path.
    """
    if not isinstance(model, (str, os.PathLike)):
        raise ResnexusError(f"{type(model).__name__} is no network's name: expected one, or a file of weights")
    if names_file(model):
        if weights is not None:
            raise ResnexusError(f"weights={printable(weights)} has no effect on {printable(model)}: it is a file")
        return _trained(Path(model), architecture, progress)
    if architecture is not None:
        raise ResnexusError(f"architecture={architecture!r} has no effect on {model!r}: it is for a file of weights")
    name = str(model)
    if weights is None:
        return _trained(name, None, progress)
    if weights == RANDOM:
        return _described(name, drawn(name), "")
    if names_file(weights):
        return _trained(Path(weights), name, progress)
    return _trained(f"{name}:{weights}", None, progress)


def drawn(name: str) -> Network:
    """Return a network with random weights, the same every time.

    Raises:
        ResnexusError: no network is called that.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        return create_model(name)


def _trained(model: str | Path, architecture: str | None, progress: Progress | None) -> Subject:
    network, path = open_trained(model, architecture, progress)
    return _described(printable(model), network, sha256(path))


def _described(name: str, network: Network, digest: str) -> Subject:
    record = network.record or CheckpointRecord()
    classes = record.classes
    if classes is None and network.num_classes == len(imagenet_classes()):
        classes = imagenet_classes()
    return Subject(
        name=name,
        architecture=network.architecture.name,
        network=network.eval(),
        weights_sha256=digest,
        classes=classes,
        preprocess=record.preprocess,
        published=checkpoints().get(record.checkpoint or ""),
    )
