"""Train a network of the series, or one of your own, on a data set by a recipe; and keep it with all that is known."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from resnexus.architectures.catalog import architecture
from resnexus.architectures.spec import Architecture
from resnexus.claim import claimed
from resnexus.data.augment import Augment
from resnexus.data.batches import BadImage
from resnexus.data.datasets import EMBEDDED, open_dataset
from resnexus.data.fingerprint import fingerprint
from resnexus.data.labelled import Splits
from resnexus.data.preprocess import Preprocess
from resnexus.errors import ResnexusError, printable
from resnexus.models import create_model, open_trained
from resnexus.progress import Progress, Silent
from resnexus.series.recipes import find_recipe
from resnexus.training.recipe import Recipe
from resnexus.training.starts import note_start
from resnexus.training.teacher import check_teacher
from resnexus.training.train import Outcome
from resnexus.training.train import train as train_network
from resnexus.training.zero_init import zero_init_residual
from resnexus.weights.checkpoint_file import CheckpointRecord, sha256, write_checkpoint


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A finished training.

    Attributes:
        out: its folder: `last.safetensors`, `best.safetensors`, `metrics.csv`, `tensorboard`, `recipe.json`,
            `starts.json`, `checkpoints`.
        recipe: as it was carried out.
        outcome: the figures of every epoch.
        bad_images: that this process met, to train and to evaluate on, and could not read.
    """

    out: Path
    recipe: Recipe
    outcome: Outcome
    bad_images: tuple[BadImage, ...] = ()


def train(
    model: str | Architecture,
    data: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str],
    recipe: str | os.PathLike[str] | Recipe = "finetune-small",
    weights: str | os.PathLike[str] | None = None,
    teacher: str | os.PathLike[str] | None = None,
    changes: Mapping[str, Any] | None = None,
    accelerator: str = "auto",
    devices: int = 1,
    allow_bad_images: bool = False,
    download: bool = False,
    save_every_s: float = 600.0,
    progress: Progress | None = None,
) -> Trained:
    """Train a network; the same call goes on where an interrupted one was kept.

    Args:
        model: a name or a row.
        data: where the images are, as `open_dataset` takes it.
        out: folder of the training, of one training alone.
        recipe: a name of `resnexus.series.recipes.recipes()`, a YAML file, or a `Recipe`.
        weights: to start from: a tag of the published ones, or a file; None for random ones.
        teacher: for a recipe that learns from one (`_ssld`, `usi`): a published network, `NETWORK`, `NETWORK:TAG` or a
            checkpoint's name, or a file of weights.
        changes: settings of the recipe to change, such as `{"lr": 0.05}`.
        accelerator: as Lightning takes it: `"auto"`, `"cpu"`, `"gpu"`.
        devices: how many of them; under torchrun as many as it started.
        allow_bad_images: train past images that cannot be read.
        download: fetch CIFAR if its folder does not hold it.
        save_every_s: seconds between two checkpoints within an epoch.
        progress: where to report; nowhere if None.

    Raises:
        ResnexusError: a name, a setting, the data, the weights, the teacher or the folder cannot be used, or a teacher
            is missing or has no effect; the message says what can.
        Stopped: SIGTERM came, and the training was kept.
    """
    progress, out = progress or Silent(), Path(out)
    row = architecture(model) if isinstance(model, str) else model
    wanted = (recipe if isinstance(recipe, Recipe) else find_recipe(recipe)).changed(changes or {})
    check_teacher(wanted, given=teacher is not None)
    splits = open_data(data, wanted, progress, download=download)
    network = _network(row, splits, wanted, weights)
    taught = _teacher(teacher, splits, progress)
    progress.say(
        f"learning rate {wanted.scaled_lr:g}: {wanted.optim.lr:g} x {wanted.global_batch_size} images per step / "
        f"{wanted.optim.lr_batch_size}"
    )

    def keep(state: dict[str, Tensor], figures: dict[str, Any], name: str) -> None:
        record = CheckpointRecord(
            architecture=row,
            classes=splits.classes,
            preprocess=splits.preprocess,
            recipe=wanted.flat(),
            metrics={"top1": figures["top1"], "top5": figures["top5"], "epoch": figures["epoch"]},
            teacher=taught.name,
            teacher_sha256=taught.sha256,
            source=None if weights is None else f"trained from {os.fspath(weights)}",
        )
        write_checkpoint(state, out / f"{name}.safetensors", record)

    with _held(out):
        outcome = train_network(
            network,
            splits.train,
            splits.val,
            wanted,
            out,
            keep=keep,
            teacher=taught.network,
            conditions=_conditions(row, splits, weights, taught),
            accelerator=accelerator,
            devices=devices,
            save_every_s=save_every_s,
            allow_bad_images=allow_bad_images,
            tensorboard=True,
            progress=progress,
        )
    bad = (*splits.train.bad_images(), *splits.val.bad_images())
    return Trained(out=out, recipe=wanted, outcome=outcome, bad_images=bad)


def open_data(
    data: str | os.PathLike[str], recipe: Recipe, progress: Progress | None = None, *, download: bool = False
) -> Splits:
    """Open a data set as a recipe prepares its images, and say what there is to say of it.

    An embedded one has a preparation of its own.

    Raises:
        ResnexusError: as `open_dataset` does.
    """
    images = recipe.images
    if data in EMBEDDED:
        return open_dataset(data, augment=Augment(crop_area=None, flip=0.0, shift=1), seed=recipe.seed)
    preprocess = Preprocess(
        size=images.eval_size,
        resize_short=images.resize_short,
        interpolation=images.interpolation,
        antialias=images.antialias,
    )
    augment = Augment(
        size=images.image_size,
        crop_area=(images.crop_area[0], images.crop_area[1]),
        crop_aspect=(images.crop_aspect[0], images.crop_aspect[1]),
        flip=images.flip,
        policy=images.policy,
        policy_magnitude=images.policy_magnitude,
        policy_operations=images.policy_operations,
        erasing=images.erasing,
    )
    splits = open_dataset(data, preprocess, augment, seed=recipe.seed, download=download, progress=progress)
    for remark in splits.remarks:
        (progress or Silent()).say(remark)
    return splits


def _network(row: Architecture, splits: Splits, recipe: Recipe, weights: str | os.PathLike[str] | None) -> nn.Module:
    torch.manual_seed(recipe.seed)
    network = create_model(
        row,
        pretrained=False if weights is None else weights,
        num_classes=len(splits.classes),
        in_chans=splits.preprocess.in_chans,
    )
    if recipe.step.zero_init_residual and weights is None:
        zero_init_residual(network)
    return network


@dataclass(frozen=True, kw_only=True, eq=False)
class _Teacher:
    """A teacher as it was named, its network, and the SHA-256 of its file; None where there is none."""

    name: str | None = None
    network: nn.Module | None = None
    sha256: str | None = None


def _teacher(model: str | os.PathLike[str] | None, splits: Splits, progress: Progress) -> _Teacher:
    """Open a teacher, and see that it answers the question: these classes, these images."""
    if model is None:
        return _Teacher()
    network, path = open_trained(model, progress=progress)
    name, record, preprocess = printable(model), network.record, splits.preprocess
    if network.num_classes != len(splits.classes):
        raise ResnexusError(
            f"teacher {name} tells {network.num_classes:,} classes apart, and the data have {len(splits.classes):,}: "
            "give one that was trained on these classes"
        )
    known = record.classes
    if known is not None and known != splits.classes and set(known) == set(splits.classes):
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
    return _Teacher(name=name, network=network, sha256=sha256(path))


@contextmanager
def _held(out: Path) -> Iterator[None]:
    """Hold the folder of a training, and note that it starts; the first of all processes does so for all machines."""
    if int(os.environ.get("RANK", "0")) > 0:
        yield
        return
    with claimed(out, busy="another process trains in"):
        note_start(out)
        yield


def _conditions(
    row: Architecture, splits: Splits, weights: str | os.PathLike[str] | None, taught: _Teacher
) -> dict[str, Any]:
    """Return what else must be the same for a training to go on."""
    start = None
    if weights is not None:
        path = Path(weights)
        start = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else os.fspath(weights)
    return {
        "architecture": repr(row),
        "weights": start,
        "teacher": taught.sha256,
        "train_images": fingerprint(splits.train),
        "val_images": fingerprint(splits.val),
    }
