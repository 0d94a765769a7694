"""The images of an evaluation: which of a folder, how prepared, and which output of the network each belongs to."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
from torch import Tensor

from resnexus.assessment.settings import AssessmentSettings
from resnexus.data.datasets import EMBEDDED, open_dataset
from resnexus.data.labelled import ImageArrays, LabelledImages, Splits, StoredImages
from resnexus.data.preprocess import Preprocess
from resnexus.errors import ResnexusError, printable
from resnexus.evaluation.seen import Originals
from resnexus.evaluation.variations import at_size
from resnexus.series.imagenet_sets import NAMES, Labelling, label
from resnexus.subject import Subject

_SAMPLED = 20
"""Files whose names tell what the set is."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Questions:
    """The images that a network is asked about.

    Attributes:
        name: of the data set.
        originals: the images.
        labels: (N,) int64, numbers of the network's outputs.
        classes: what the outputs stand for.
        labelling: how the class folders became these numbers.
        preprocess: how images are prepared.
        part: which images of the folder these are, in a sentence.
        ignored: files among the images that are none.
        notes: what had to be assumed, in sentences.
    """

    name: str
    originals: Originals
    labels: Tensor
    classes: tuple[str, ...]
    labelling: Labelling
    preprocess: Preprocess
    part: str
    ignored: tuple[str, ...]
    notes: tuple[str, ...]


def open_questions(data: str | os.PathLike[str], subject: Subject, settings: AssessmentSettings) -> Questions:
    """Open the images that a network is evaluated on.

    Args:
        data: a folder or a name, as `open_dataset` takes it.
        subject: the network.
        settings: of the evaluation.

    Raises:
        ResnexusError: no such data set, class folders that are no classes of the network, images of other channels, or
            a part of the images that there is not.
    """
    splits = open_dataset(data)
    preprocess, notes = _preparation(subject, splits, embedded=data in EMBEDDED)
    if settings.image_size is not None:
        preprocess = at_size(preprocess, settings.image_size)
    classes = subject.classes
    if classes is None:
        if len(splits.classes) != subject.network.num_classes:
            raise ResnexusError(
                f"{subject.name} names no classes: it has {subject.network.num_classes} outputs, and the images are of "
                f"{len(splits.classes)} classes; give the file a record, as `resnexus train` writes it"
            )
        classes = splits.classes
        notes += ("The file names no classes: its outputs were taken for the class folders in their order.",)
    labelling = label(splits.classes, classes, settings.labels, _file_names(splits))
    parts, part = _parts(splits, subject, labelling, settings.part)
    originals = Originals(*parts, root=os.fspath(data))
    return Questions(
        name=splits.name,
        originals=originals,
        labels=torch.tensor(labelling.targets)[originals.labels],
        classes=classes,
        labelling=labelling,
        preprocess=preprocess,
        part=part,
        ignored=tuple(map(printable, splits.ignored)),
        notes=notes,
    )


def _preparation(subject: Subject, splits: Splits, *, embedded: bool) -> tuple[Preprocess, tuple[str, ...]]:
    notes: tuple[str, ...] = ()
    preprocess = subject.preprocess
    if preprocess is None:
        preprocess = splits.preprocess if embedded else Preprocess()
        notes = (f"The file says nothing of preprocessing: {_whose(embedded)} was taken.",)
    if preprocess.in_chans != subject.network.in_chans:
        raise ResnexusError(
            f"{subject.name} takes images of {subject.network.in_chans} channels, and the preprocessing gives "
            f"{preprocess.in_chans}; give the file a record with its own, as `resnexus train` writes it"
        )
    return preprocess, notes


def _whose(embedded: bool) -> str:
    return "the data set's own" if embedded else "that of the published series"


def _parts(
    splits: Splits, subject: Subject, labelling: Labelling, wanted: str | None
) -> tuple[list[StoredImages | ImageArrays], str]:
    """Return the data sets to evaluate on, and which images of the folder these are, in a sentence."""
    known = labelling.naming.whole or (subject.published is not None and labelling.naming.name != NAMES)
    if wanted is None:
        wanted = "all" if known and splits.split else "val"
    if wanted == "all":
        return [
            _ours(splits.train),
            _ours(splits.val),
        ], "every image, those for training too" if not splits.split else "every image"
    return [_ours(splits.val)], splits.split or "its images for evaluation"


def _ours(dataset: LabelledImages) -> StoredImages | ImageArrays:
    if not isinstance(dataset, (StoredImages, ImageArrays)):
        raise ResnexusError(f"{type(dataset).__name__} does not give its images unprepared; give a folder")
    return dataset


def _file_names(splits: Splits) -> list[str]:
    val = splits.val
    if not isinstance(val, StoredImages):
        return []
    return [os.path.basename(val.name(index)) for index in range(min(_SAMPLED, len(val)))]
