"""Train a network of the series, or one of your own, on a data set by a recipe; and keep it with all that is known."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import torch
from torch import Tensor, nn

from resnexus.architectures.catalog import architecture
from resnexus.architectures.spec import Architecture
from resnexus.claim import claimed
from resnexus.data.batches import BadImage, collate
from resnexus.data.fingerprint import fingerprint
from resnexus.data.labelled import LabelledImages
from resnexus.data.preprocess import Preprocess
from resnexus.errors import ResnexusError
from resnexus.models import create_model, starting_weights
from resnexus.packages import required
from resnexus.progress import Progress, Silent
from resnexus.series.recipes import find_recipe
from resnexus.teachers import Taught, Teaching, module_name, open_teacher
from resnexus.training.answers import count_answers
from resnexus.training.hardware import placed
from resnexus.training.preparation import check_changes, open_data
from resnexus.training.processes import rank
from resnexus.training.recipe import Recipe
from resnexus.training.starts import note_start
from resnexus.training.teacher import check_teacher
from resnexus.training.train import Outcome
from resnexus.training.train import train as train_network
from resnexus.training.zero_init import zero_init_residual
from resnexus.weights.checkpoint_file import CheckpointRecord, sha256, write_checkpoint
from resnexus.weights.state_digest import state_sha256

if TYPE_CHECKING:
    from resnexus.training.module import Classifier


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


class Running(TypedDict, total=False):
    """Where and how a training runs, whatever it trains: `device` and so on, as `train` takes them."""

    device: str
    devices: int
    allow_bad_images: bool
    save_every_s: float
    progress: Progress | None


def train(
    model: str | Architecture,
    data: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str],
    recipe: str | os.PathLike[str] | Recipe = "finetune-small",
    weights: str | os.PathLike[str] | None = None,
    teacher: Teaching | None = None,
    changes: Mapping[str, Any] | None = None,
    device: str = "auto",
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
        weights: to start from: a tag of the published ones, or a file; None, or `"random"`, for random ones.
        teacher: for a recipe that learns from one (`_ssld`, `usi`): a published network, `NETWORK`, `NETWORK:TAG` or a
            checkpoint's name, a file of weights, or a torch module of these classes.
        changes: settings of the recipe to change, such as `{"lr": 0.05}`; for embedded data, none of how images are
            prepared, which they have their own way for.
        device: as `resnexus.devices.device_word` takes it: `"auto"`, `"cpu"`, `"gpu"`, `"cuda:1"`.
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
    placed(device, devices)  # before the data are read
    progress = progress or Silent()
    row = architecture(model) if isinstance(model, str) else model
    wanted = (recipe if isinstance(recipe, Recipe) else find_recipe(recipe)).changed(changes or {})
    check_changes(changes or {}, data)
    check_teacher(wanted, given=teacher is not None)
    splits = open_data(data, wanted, progress, download=download)
    return train_on(
        row,
        splits.train,
        splits.val,
        wanted,
        preprocess=splits.preprocess,
        out=Path(out),
        weights=weights,
        teacher=teacher,
        device=device,
        devices=devices,
        allow_bad_images=allow_bad_images,
        save_every_s=save_every_s,
        progress=progress,
    )


def train_on(
    row: Architecture | nn.Module,
    train_images: LabelledImages,
    val_images: LabelledImages | None,
    recipe: Recipe,
    *,
    preprocess: Preprocess,
    out: Path,
    weights: str | os.PathLike[str] | None = None,
    teacher: Teaching | Taught | None = None,
    collated: Callable[[Any], Any] = collate,
    module: type[Classifier] | None = None,
    conditions: Mapping[str, Any] | None = None,
    label: str = "training",
    **running: Unpack[Running],
) -> Trained:
    """Train a network on images that are opened already; what is not said here is as for `train`.

    Args:
        row: of the network; or a torch module, which is trained in place, all of it in training mode, and goes on only
            from the state that it had.
        train_images: what to train on.
        val_images: what to evaluate on after every epoch; None to train alone, and keep `last.safetensors` alone.
        recipe: of the training.
        preprocess: of images that are evaluated; the record of the weights has it.
        out: folder of the training.
        weights: to start from, as `train` takes them; None for a module, which brings its own.
        teacher: by name, file or module; or one that is open already, or whose answers the batches bring.
        collated: makes a batch of items of `train_images`.
        module: what computes the loss of such a batch.
        conditions: what else must be the same for a training to go on.
        label: what the stage is called in print.
        running: where and how it runs.

    Raises:
        ResnexusError: as `train` does.
        Stopped: SIGTERM came, and the training was kept.
    """
    required("lightning")  # now, and not when the folder is there and the teacher fetched
    progress, classes = running.get("progress") or Silent(), train_images.classes
    here: Running = {**running, "progress": progress}
    weights = weights if isinstance(row, nn.Module) else starting_weights(weights)
    network = _network(row, classes, preprocess, recipe, weights)
    taught = teacher if isinstance(teacher, Taught) else open_teacher(teacher, classes, preprocess, progress)
    progress.say(
        f"learning rate {recipe.scaled_lr:g}: {recipe.optim.lr:g} x {recipe.global_batch_size} images per step / "
        f"{recipe.optim.lr_batch_size}"
    )

    def keep(state: dict[str, Tensor], figures: dict[str, Any], name: str) -> None:
        record = CheckpointRecord(
            architecture=row if isinstance(row, Architecture) else None,
            classes=classes,
            preprocess=preprocess,
            recipe=recipe.flat(),
            metrics={figure: figures[figure] for figure in ("top1", "top5", "epoch") if figure in figures},
            teacher=taught.name,
            teacher_sha256=taught.sha256,
            source=None if weights is None else f"trained from {os.fspath(weights)}",
        )
        write_checkpoint(state, out / f"{name}.safetensors", record)

    with _held(out, rank(running.get("devices", 1))):
        outcome = train_network(
            network,
            train_images,
            val_images,
            recipe,
            out,
            keep=keep,
            teacher=taught.network,
            conditions=_conditions(row, train_images, val_images, weights, taught) | dict(conditions or {}),
            tensorboard=True,
            label=label,
            collated=collated,
            module=module,
            **here,
        )
    bad = (*train_images.bad_images(), *(() if val_images is None else val_images.bad_images()))
    return Trained(out=out, recipe=recipe, outcome=outcome, bad_images=bad)


def _network(
    row: Architecture | nn.Module,
    classes: tuple[str, ...],
    preprocess: Preprocess,
    recipe: Recipe,
    weights: str | os.PathLike[str] | None,
) -> nn.Module:
    torch.manual_seed(recipe.seed)
    if isinstance(row, nn.Module):
        if recipe.step.zero_init_residual:
            raise ResnexusError(
                f"zero_init_residual=True is for random weights, and {module_name(row)} brings its own: set it to false"
            )
        return _of_anybody(row, classes, preprocess, weights)
    network = create_model(
        row,
        pretrained=False if weights is None else weights,
        num_classes=len(classes),
        in_chans=preprocess.in_chans,
    )
    if recipe.step.zero_init_residual and weights is None:
        zero_init_residual(network)
    return network


def _of_anybody(
    network: nn.Module, classes: tuple[str, ...], preprocess: Preprocess, weights: str | os.PathLike[str] | None
) -> nn.Module:
    """Return a torch module that is to be trained, asked whether it answers the question."""
    name = module_name(network)
    if weights is not None:
        raise ResnexusError(f"weights={os.fspath(weights)!r} has no effect on {name}: load them into it")
    count = count_answers(network, name, preprocess)
    if count != len(classes):
        raise ResnexusError(
            f"{name} tells {count:,} classes apart, and the data have {len(classes):,}: give it a last layer of "
            f"{len(classes):,}"
        )
    return network.train()


@contextmanager
def _held(out: Path, process: int) -> Iterator[None]:
    """Hold the folder of a training, and note that it starts; the first of all processes does so for all machines."""
    if process > 0:
        yield
        return
    with claimed(out, busy="another process trains in"):
        note_start(out)
        yield


def _conditions(
    row: Architecture | nn.Module,
    train_images: LabelledImages,
    val_images: LabelledImages | None,
    weights: str | os.PathLike[str] | None,
    taught: Taught,
) -> dict[str, Any]:
    """Return what else must be the same for a training to go on."""
    start = state_sha256(row) if isinstance(row, nn.Module) else None
    if weights is not None:
        path = Path(weights)
        start = sha256(path) if path.is_file() else os.fspath(weights)
    return {
        "architecture": module_name(row) if isinstance(row, nn.Module) else repr(row),
        "weights": start,
        "teacher": taught.sha256,
        "train_images": fingerprint(train_images),
        "val_images": None if val_images is None else fingerprint(val_images),
    }
