"""Open the teacher of a training: a trained network, asked whether it answers the question at all."""

from __future__ import annotations

import os
from dataclasses import dataclass

from torch import nn

from resnexus.data.preprocess import Preprocess
from resnexus.errors import ResnexusError, printable
from resnexus.models import open_trained
from resnexus.progress import Progress
from resnexus.weights.checkpoint_file import CheckpointRecord, sha256


@dataclass(frozen=True, kw_only=True, eq=False)
class Taught:
    """Whom a network learns from.

    Attributes:
        name: of the teacher, as it was given; None where there is none.
        classes: that it tells apart; their numbers where nobody says.
        network: of the teacher; None where there is none, or its answers come with the images.
        sha256: of the teacher's file.
    """

    name: str | None = None
    classes: tuple[str, ...] = ()
    network: nn.Module | None = None
    sha256: str | None = None


def open_teacher(
    model: str | os.PathLike[str] | None, classes: tuple[str, ...] | None, preprocess: Preprocess, progress: Progress
) -> Taught:
    """Open a teacher, and see that it answers the question: these classes, these images.

    Args:
        model: as `resnexus.models.open_trained` takes it; None for no teacher.
        classes: that it is to tell apart, in their order; None for those that it knows.
        preprocess: of the images.
        progress: told of a download.

    Raises:
        ResnexusError: there is no such network, or it tells other classes apart or takes other images.
    """
    if model is None:
        return Taught()
    network, path = open_trained(model, progress=progress)
    name, record = printable(model), network.record or CheckpointRecord()
    known = record.classes
    if classes is None:
        classes = known or tuple(map(str, range(network.num_classes)))
    if network.num_classes != len(classes):
        raise ResnexusError(
            f"teacher {name} tells {network.num_classes:,} classes apart, and the data have {len(classes):,}: "
            "give one that was trained on these classes"
        )
    if known is not None and known != classes and set(known) == set(classes):
        raise ResnexusError(f"teacher {name} has the same classes in another order: its answers would be mistaken")
    if network.in_chans != preprocess.in_chans:
        raise ResnexusError(
            f"teacher {name} takes images of {network.in_chans} channels, and the data have {preprocess.in_chans}"
        )
    seen = record.preprocess
    if seen is not None and (seen.mean, seen.std) != (preprocess.mean, preprocess.std):
        raise ResnexusError(
            f"teacher {name} was trained on images normalised by mean={seen.mean}, std={seen.std}, and the data are by "
            f"mean={preprocess.mean}, std={preprocess.std}: give one that sees images alike"
        )
    return Taught(name=name, classes=classes, network=network, sha256=sha256(path))
