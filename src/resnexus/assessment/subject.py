"""The network of an evaluation: a published one by name, or a file of weights, and what its outputs mean."""

from __future__ import annotations

import os
from dataclasses import dataclass

from resnexus.architectures.network import Network
from resnexus.data.preprocess import Preprocess
from resnexus.errors import printable
from resnexus.models import open_trained
from resnexus.progress import Progress
from resnexus.series.checkpoints import Checkpoint, checkpoints
from resnexus.series.imagenet import imagenet_classes
from resnexus.weights.checkpoint_file import sha256


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """A network to evaluate.

    Attributes:
        name: as it was asked for.
        architecture: name of its row.
        network: in evaluation mode.
        weights_sha256: of the file of weights.
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
    model: str | os.PathLike[str], architecture: str | None = None, progress: Progress | None = None
) -> Subject:
    """Open a network with trained weights.

    Args:
        model: a published network, `NETWORK`, `NETWORK:TAG` or a checkpoint's name; or a file of weights: a path
            object, or a string with a folder or the suffix of such a file.
        architecture: the network of a file, where names and shapes cannot tell.
        progress: told of a download.

    Raises:
        ResnexusError: no such network or file, weights that fit no network, or no last layer.
    """
    network, path = open_trained(model, architecture, progress)
    record = network.record
    classes = record.classes
    if classes is None and network.num_classes == len(imagenet_classes()):
        classes = imagenet_classes()
    return Subject(
        name=printable(model),
        architecture=network.architecture.name,
        network=network,
        weights_sha256=sha256(path),
        classes=classes,
        preprocess=record.preprocess,
        published=checkpoints().get(record.checkpoint or ""),
    )
