"""A network by name or from a file of weights, for whoever runs it, and what its outputs mean."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from resnexus.architectures.network import Network
from resnexus.data.preprocess import Preprocess
from resnexus.errors import ResnexusError, printable
from resnexus.models import create_model
from resnexus.progress import Progress
from resnexus.series.checkpoints import Checkpoint, checkpoints
from resnexus.series.imagenet import imagenet_classes
from resnexus.weights.checkpoint_file import sha256
from resnexus.weights.convert import SUFFIXES, load_state, ours
from resnexus.weights.store import fetch, find_checkpoint


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """A network to run.

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
    if isinstance(model, os.PathLike) or Path(model).suffix in SUFFIXES or os.sep in model:
        path = Path(model)
        found, _ = ours(load_state(path), architecture)
        network = create_model(found.architecture, pretrained=path)
    else:
        if architecture is not None:
            raise ResnexusError(
                f"architecture={architecture!r} has no effect on {model!r}: it is for a file of weights"
            )
        checkpoint = find_checkpoint(model)
        path = fetch(checkpoint, progress=progress)
        network = create_model(checkpoint.architecture, pretrained=checkpoint.tag)
    if not network.num_classes:
        raise ResnexusError(f"{printable(model)}: the network has no last layer, so that it names no class")
    record = network.record
    classes = record.classes
    if classes is None and network.num_classes == len(imagenet_classes()):
        classes = imagenet_classes()
    return Subject(
        name=printable(model),
        architecture=network.architecture.name,
        network=network.eval(),
        weights_sha256=sha256(path),
        classes=classes,
        preprocess=record.preprocess,
        published=checkpoints().get(record.checkpoint or ""),
    )
