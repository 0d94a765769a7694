"""What a student learns from, opened: pictures with a teacher to ask, or with the answers that were kept."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from resnexus.data.augment import Augment
from resnexus.data.batches import collate
from resnexus.data.datasets import EMBEDDED, open_dataset
from resnexus.data.labelled import ImageFiles, LabelledImages, Splits, StoredImages
from resnexus.data.preprocess import Preprocess
from resnexus.devices import AUTO, device_word
from resnexus.distillation.cache import ONE_VIEW, Cache
from resnexus.distillation.pictures import Picture
from resnexus.distillation.replay import ReplayedImages, collate_answered
from resnexus.distillation.unlabelled import JoinedImages, PoolImages
from resnexus.errors import ResnexusError, printable
from resnexus.prediction.inputs import portable
from resnexus.progress import Progress
from resnexus.teachers import Taught, Teaching, open_teacher
from resnexus.trainer import Running
from resnexus.training.hardware import placed
from resnexus.training.losses import UNLABELLED
from resnexus.training.preparation import preparation
from resnexus.training.recipe import Recipe

Array = np.ndarray[Any, np.dtype[Any]]

_DIGEST = 64
"""Hexadecimal digits of a SHA-256."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Material:
    """What a student learns from.

    Attributes:
        images: to train on.
        val: to evaluate on; None for none.
        preprocess: how images are prepared that are evaluated.
        taught: the teacher, or whose answers come with the images.
        collated: makes a batch of items of `images`.
        replayed: whether the answers come with the images.
    """

    images: StoredImages
    val: LabelledImages | None
    preprocess: Preprocess
    taught: Taught
    collated: Any = collate
    replayed: bool = False


def asked(
    pictures: Sequence[Picture],
    teacher: Teaching,
    labelled: str | os.PathLike[str] | None,
    recipe: Recipe,
    progress: Progress,
) -> Material:
    """Open what a student learns from that asks its teacher about every batch.

    Args:
        pictures: of the pool.
        teacher: as `resnexus.train` takes it.
        labelled: labelled pictures, which join the pool, or None.
        recipe: of the training.
        progress: where to report.

    Raises:
        ResnexusError: the labelled pictures or the teacher cannot be used.
    """
    preprocess, augment = preparation(recipe)
    splits = None if labelled is None else open_labelled(labelled, preprocess, augment, recipe.seed, progress)
    taught = open_teacher(teacher, None if splits is None else splits.classes, preprocess, progress)
    pool = PoolImages(pictures, taught.classes, preprocess=preprocess, augment=augment, seed=recipe.seed)
    if splits is None:
        return Material(images=pool, val=None, preprocess=preprocess, taught=taught)
    joined = JoinedImages(pool, _stored(splits.train))
    return Material(images=joined, val=splits.val, preprocess=preprocess, taught=taught)


def replayed(
    cache: Cache,
    numbers: Sequence[int] | Array,
    labelled: str | os.PathLike[str] | None,
    recipe: Recipe,
    progress: Progress,
) -> Material:
    """Open what a student learns from that is shown the views of a cache again.

    Args:
        cache: views and answers.
        numbers: of pictures of the cache, which of them.
        labelled: labelled pictures, for their labels and to evaluate on, or None.
        recipe: of the training.
        progress: where to report.

    Raises:
        ResnexusError: the labelled pictures are of other classes, or the recipe asks for what a cache cannot give.
    """
    record = cache.record
    if recipe.distil.teacher_statistics == "batch":
        raise ResnexusError(
            "teacher_statistics='batch': answers that were kept are of running statistics; name the teacher to ask it"
        )
    if record.one_view:
        progress.say(ONE_VIEW)
    progress.say(f"the views are the cache's, {record.views} of each picture: the recipe's own crops have no effect")
    classes = record.classes or tuple(map(str, range(record.num_classes)))
    labels, val = dict[str, int](), None
    if labelled is not None:
        splits = open_labelled(labelled, record.preprocess, record.augment, recipe.seed, progress)
        _check_classes(splits.classes, classes)
        classes, val, labels = splits.classes, splits.val, _by_place(splits.train)
    digest = record.teacher_sha256 if len(record.teacher_sha256) == _DIGEST else None
    return Material(
        images=ReplayedImages(cache, numbers, classes, labels),
        val=val,
        preprocess=record.preprocess,
        taught=Taught(name=printable(record.teacher), classes=classes, sha256=digest),
        collated=collate_answered,
        replayed=True,
    )


def open_labelled(
    data: str | os.PathLike[str], preprocess: Preprocess, augment: Augment | None, seed: int, progress: Progress
) -> Splits:
    """Open labelled pictures, and say what there is to say of them.

    Raises:
        ResnexusError: as `open_dataset` does, or the name is of an embedded data set, whose images are no files.
    """
    if data in EMBEDDED:
        raise ResnexusError(
            f"labelled={data!r}: its images are in memory and prepared in a way of their own; give a folder"
        )
    splits = open_dataset(data, preprocess, augment, seed=seed, progress=progress)
    for remark in splits.remarks:
        progress.say(remark)
    return splits


def device_of(running: Running) -> str:
    """Return the device of what is not a training but runs where trainings do.

    Raises:
        ResnexusError: trainings cannot run there, as `resnexus.training.hardware.placed` says.
    """
    device = running.get("device", AUTO)
    placed(device, running.get("devices", 1))
    return device_word(device)


def check_labels(images: StoredImages, recipe: Recipe) -> None:
    """See that labels which a recipe weighs are there.

    Raises:
        ResnexusError: no picture has one, or the loss needs one of every picture.
    """
    weight, known = recipe.distil.label_weight, images.labels != UNLABELLED
    if not weight:
        return
    if not bool(known.any()):
        raise ResnexusError(
            f"label_weight={weight:g} has no effect: no picture has a label; give labelled pictures (--labelled), or "
            "set it to 0"
        )
    if recipe.target.loss != "cross_entropy" and not bool(known.all()):
        raise ResnexusError(
            f"loss={recipe.target.loss!r} asks every picture for its label, and some have none: set loss=cross_entropy"
        )


def _check_classes(labelled: tuple[str, ...], cached: tuple[str, ...]) -> None:
    reordered = labelled != cached and set(labelled) == set(cached)
    if len(labelled) != len(cached) or reordered:
        how = "in another order" if reordered else f"{len(labelled):,}"
        raise ResnexusError(
            f"the cache is of {len(cached):,} classes, and those of the labelled pictures are {how}: score the pool "
            "with a teacher of these classes"
        )


def _stored(images: LabelledImages) -> StoredImages:
    if not isinstance(images, StoredImages):
        raise ResnexusError(f"{type(images).__name__} cannot be joined with a pool: give a folder of pictures")
    return images


def _by_place(images: LabelledImages) -> dict[str, int]:
    """Return the labels of files by where they lie, as a cache names places; of images that are no files, none."""
    if not isinstance(images, ImageFiles):
        return {}
    places = (portable(os.path.abspath(path)) for path in images.paths)
    return dict(zip(places, images.labels.tolist(), strict=True))
