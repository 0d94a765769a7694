"""The two stages of a student: a teacher's answers on pictures without labels, and then on the labelled ones."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Unpack

from torch import nn

from resnexus.architectures.catalog import architecture
from resnexus.architectures.spec import Architecture
from resnexus.distillation.choosing import chosen, opened
from resnexus.distillation.materials import asked, check_labels, device_of, open_labelled, replayed
from resnexus.errors import ResnexusError
from resnexus.progress import Silent
from resnexus.teachers import Teaching
from resnexus.trainer import Running, Trained, train_on
from resnexus.training.losses import UNLABELLED
from resnexus.training.preparation import preparation
from resnexus.training.recipe import Recipe
from resnexus.training.teacher import check_teacher
from resnexus.weights.convert import load_state, ours


def train_student(
    pool: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    model: str | Architecture | nn.Module,
    *,
    out: str | os.PathLike[str],
    recipe: Recipe,
    teacher: Teaching | None = None,
    labelled: str | os.PathLike[str] | None = None,
    selection: Path | None = None,
    weights: str | os.PathLike[str] | None = None,
    label: str = "training the student",
    **running: Unpack[Running],
) -> Trained:
    """Train a student on a teacher's answers: the first stage; the same call goes on where it was interrupted.

    With a teacher, it is asked about every batch that the student sees, crops and mixtures and all. Without one, `pool`
    is a cache, whose views are shown again with the answers that were kept. The labelled pictures to train on are
    learned from as the others are; their labels count only where the recipe gives them a weight. With a cache they must
    have been scored, too.

    Args:
        pool: pictures, as `resnexus.distillation.choosing.opened` takes them, or the folder of a cache.
        model: a name or a row; or a torch module, (N, C, H, W) -> (N, classes) logits, which is trained in place.
        out: folder of the training.
        recipe: see `resnexus.distillation.objectives.objective`.
        teacher: as `resnexus.train` takes it.
        labelled: what `open_dataset` takes, in files; to learn from as said above, and to evaluate on; or None.
        selection: what `resnexus distill mine` wrote: only these pictures of the pool.
        weights: to start from, as `resnexus.train` takes them.
        label: what the stage is called in print.
        running: where and how it runs.

    Raises:
        ResnexusError: as `resnexus.train` does, or there is neither a teacher nor a cache, or labels that the recipe
            weighs are not there.
        Stopped: SIGTERM came, and the training was kept.
    """
    device_of(running)  # one that is not there is told before the pool is read
    progress = running.get("progress") or Silent()
    cache, every = opened(pool)
    pictures = chosen(every, selection, None if cache is None else cache.readable())
    check_teacher(recipe, given=True)
    if teacher is not None:
        material = asked(pictures, teacher, labelled, recipe, progress)
    elif cache is not None:
        material = replayed(cache, pictures.numbers, labelled, recipe, progress)
    else:
        raise ResnexusError(
            "no teacher: name one with teacher= (--teacher), or give the folder of a cache that `resnexus distill "
            "score` wrote"
        )
    images = material.images
    check_labels(images, recipe)
    labels = int((images.labels != UNLABELLED).sum())
    weight = recipe.distil.label_weight
    counted = f"which count {weight:g} times" if weight else "which do not count"
    progress.say(f"{len(images):,} pictures to learn from; {labels:,} have labels, {counted}")
    return train_on(
        model if isinstance(model, nn.Module) else architecture(model),
        images,
        material.val,
        recipe,
        preprocess=material.preprocess,
        out=Path(out),
        weights=weights,
        teacher=material.taught,
        collated=material.collated,
        module=_replaying() if material.replayed else None,
        conditions={"views": None if cache is None or not material.replayed else cache.record.views},
        label=label,
        **running,
    )


def finetune(
    weights: str | os.PathLike[str] | nn.Module,
    labelled: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str],
    recipe: Recipe,
    teacher: Teaching | None = None,
    label: str = "training the second stage",
    **running: Unpack[Running],
) -> Trained:
    """Train trained weights on labelled pictures: the second stage, by a teacher's answers or by labels.

    Args:
        weights: a file of weights, or a torch module, which is trained in place.
        labelled: what `open_dataset` takes, in files.
        out: folder of the training.
        recipe: see `resnexus.distillation.objectives.objective`; one without distillation learns from labels.
        teacher: as `resnexus.train` takes it; None for labels alone.
        label: what the stage is called in print.
        running: where and how it runs.

    Raises:
        ResnexusError: as `resnexus.train` does.
        Stopped: SIGTERM came, and the training was kept.
    """
    device_of(running)
    check_teacher(recipe, given=teacher is not None)
    preprocess, augment = preparation(recipe)
    splits = open_labelled(labelled, preprocess, augment, recipe.seed, running.get("progress") or Silent())
    return train_on(
        weights if isinstance(weights, nn.Module) else architecture_of(weights),
        splits.train,
        splits.val,
        recipe,
        preprocess=splits.preprocess,
        out=Path(out),
        weights=None if isinstance(weights, nn.Module) else Path(weights),
        teacher=teacher,
        label=label,
        **running,
    )


def architecture_of(weights: str | os.PathLike[str]) -> Architecture:
    """Return the row of a file of weights: what its record says, or else names and shapes.

    Raises:
        ResnexusError: no such file, or weights that fit no network.
    """
    found, _ = ours(load_state(Path(weights)))
    return architecture(found.architecture)


def _replaying() -> Any:
    from resnexus.distillation.replaying import Replaying

    return Replaying
