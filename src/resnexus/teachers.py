"""Open the teacher of a training: a trained network, asked whether it answers the question at all."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from torch import nn

from resnexus.data.preprocess import Preprocess
from resnexus.errors import ResnexusError, printable
from resnexus.models import open_trained
from resnexus.progress import Progress
from resnexus.training.answers import count_answers
from resnexus.weights.checkpoint_file import CheckpointRecord, sha256
from resnexus.weights.state_digest import state_sha256

MODULE = "module "
"""How the name of a torch module begins in records; no file is opened by such a name."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TeacherModule:
    """A torch module as a teacher, with what a file of weights would say of it.

    Attributes:
        network: (N, C, H, W) -> (N, classes) logits; put in evaluation mode, and its gradients switched off, in place.
        preprocess: how the images that it sees are prepared.
        classes: what its logits stand for, in their order; None if nobody says.
    """

    network: nn.Module
    preprocess: Preprocess
    classes: tuple[str, ...] | None = None

    @property
    def name(self) -> str:
        """What it is called in records: `module` and its class."""
        return module_name(self.network)

    @cached_property
    def sha256(self) -> str:
        """The digest of its state, by which records and caches know it."""
        return state_sha256(self.network)


Teaching: TypeAlias = "str | os.PathLike[str] | nn.Module | TeacherModule"
"""What a teacher may be: a published network, a file of weights, or a torch module."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Taught:
    """Whom a network learns from.

    Attributes:
        name: of the teacher, as it was given, or `module` and the class of a torch module; None where there is none.
        classes: that it tells apart; their numbers where nobody says.
        network: of the teacher; None where there is none, or its answers come with the images.
        sha256: of the teacher's file, or of the state of a module.
    """

    name: str | None = None
    classes: tuple[str, ...] = ()
    network: nn.Module | None = None
    sha256: str | None = None


def open_teacher(
    model: Teaching | None, classes: tuple[str, ...] | None, preprocess: Preprocess, progress: Progress
) -> Taught:
    """Open a teacher, and see that it answers the question: these classes, these images.

    Args:
        model: as `resnexus.models.open_trained` takes it, or a torch module, with or without what is known of it; None
            for no teacher.
        classes: that it is to tell apart, in their order; None for those that it knows.
        preprocess: of the images.
        progress: told of a download.

    Raises:
        ResnexusError: there is no such network, or it tells other classes apart or takes other images.
    """
    if model is None:
        return Taught()
    if isinstance(model, nn.Module):
        model = TeacherModule(network=model, preprocess=preprocess)
    if isinstance(model, TeacherModule):
        name = model.name
        count = count_answers(model.network, f"teacher {name}", preprocess)
        classes = _checked(name, count, model.classes, model.preprocess, classes, preprocess)
        return Taught(name=name, classes=classes, network=model.network.eval(), sha256=model.sha256)
    network, path = open_trained(model, progress=progress)
    name, record = printable(model), network.record or CheckpointRecord()
    if network.in_chans != preprocess.in_chans:
        raise ResnexusError(
            f"teacher {name} takes images of {network.in_chans} channels, and the data have {preprocess.in_chans}"
        )
    classes = _checked(name, network.num_classes, record.classes, record.preprocess, classes, preprocess)
    return Taught(name=name, classes=classes, network=network, sha256=sha256(path))


def module_name(network: nn.Module) -> str:
    """Return what a torch module is called in records: `module` and its class."""
    return f"{MODULE}{type(network).__name__}"


def _checked(
    name: str,
    count: int,
    known: tuple[str, ...] | None,
    seen: Preprocess | None,
    classes: tuple[str, ...] | None,
    preprocess: Preprocess,
) -> tuple[str, ...]:
    """Return the classes that a teacher tells apart, which are those of the data if these have any."""
    classes = classes or known or tuple(map(str, range(count)))
    if count != len(classes):
        raise ResnexusError(
            f"teacher {name} tells {count:,} classes apart, and the data have {len(classes):,}: "
            "give one that was trained on these classes"
        )
    if known is not None and known != classes and set(known) == set(classes):
        raise ResnexusError(f"teacher {name} has the same classes in another order: its answers would be mistaken")
    if seen is not None and (seen.mean, seen.std) != (preprocess.mean, preprocess.std):
        raise ResnexusError(
            f"teacher {name} was trained on images normalised by mean={seen.mean}, std={seen.std}, and the data are by "
            f"mean={preprocess.mean}, std={preprocess.std}: give one that sees images alike"
        )
    return classes
