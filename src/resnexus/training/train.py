"""Train one network by a recipe, from wherever the folder's training stands."""

from __future__ import annotations

import json
import logging
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from resnexus.data.batches import collate
from resnexus.data.canvases import Canvases
from resnexus.data.labelled import LabelledImages
from resnexus.data.order import EpochOrder
from resnexus.data.photographs.photographs import Photographs
from resnexus.errors import ResnexusError
from resnexus.packages import required
from resnexus.progress import Progress, Silent
from resnexus.records import RecordError, read_json, write_json
from resnexus.training.hardware import placed
from resnexus.training.loader import TrainingLoader
from resnexus.training.recipe import Recipe
from resnexus.training.restarts import meet_again
from resnexus.training.stopping import STOPPED_EXIT_CODE, heard_by
from resnexus.training.teacher import Teacher, check_teacher

if TYPE_CHECKING:
    import lightning

    from resnexus.training.module import Classifier
    from resnexus.training.validation import Keep, Measure

# What Lightning and the PyTorch it calls say about settings that are meant.
_EXPECTED_WARNINGS = (
    r".*does not have many workers.*",
    r".*The number of training batches.*",
    r".*`training_step` returned `None`.*",
    r".*`isinstance\(treespec, LeafSpec\)` is deprecated.*",
    r".*GPU available but not used.*",
    r".*AMP with fp16 is not supported on CPU.*",
    r".*in eval mode at the start of training.*",
    r".*lr_scheduler.step\(\)` before `optimizer.step\(\).*",
)

_LIGHTNING_PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a training came to.

    Attributes:
        rows: figures of every epoch, as in `metrics.csv`.
        waiting: share of the time that was spent waiting for data, of what ran just now.
    """

    rows: tuple[dict[str, Any], ...]
    waiting: float

    @property
    def best(self) -> dict[str, Any]:
        """The figures of the epoch with the best top-1, if there were images to evaluate on; of equals the first."""
        return max(self.rows, key=lambda row: float(row["top1"]))


def train(
    network: nn.Module,
    train_images: LabelledImages | Canvases | Photographs,
    val_images: LabelledImages | None,
    recipe: Recipe,
    out: Path,
    *,
    keep: Keep | None = None,
    teacher: nn.Module | None = None,
    conditions: dict[str, Any] | None = None,
    device: str = "auto",
    devices: int = 1,
    save_every_s: float = 600.0,
    allow_bad_images: bool = False,
    tensorboard: bool = False,
    progress: Progress | None = None,
    label: str = "training",
    collated: Callable[[Any], Any] = collate,
    module: type[Classifier] | None = None,
    measure: Measure | None = None,
) -> Outcome:
    """Train `network` in place; afterwards it is in evaluation mode, on the CPU, with the weights of the last step.

    A training that `out` holds goes on where it was kept last, with the draws and the order that would have come: on
    one machine the result is the same to the bit as if nothing had happened.

    Args:
        network: (N, C, H, W) -> (N, classes) logits.
        train_images: what to train on.
        val_images: what to evaluate on after every epoch; None to train alone.
        recipe: of the training.
        out: folder of the training: `metrics.csv`, `recipe.json`, and the checkpoints that it goes on from.
        keep: called after every epoch with weights, figures and `"last"`, and with `"best"` if they are; None to keep
            none.
        teacher: (N, C, H, W) -> (N, classes) logits, for a recipe that learns from one; set up in place, not trained.
        conditions: what else must be the same for a training to go on, such as the digest of the data; plain values.
        device: as `resnexus.devices.device_word` takes it: `"auto"`, `"cpu"`, `"gpu"`, `"cuda:1"`.
        devices: how many of them; under torchrun as many as it started, on every node.
        save_every_s: seconds between two checkpoints within an epoch.
        allow_bad_images: train past images that cannot be read.
        tensorboard: write the figures for TensorBoard too, to `tensorboard` in `out`.
        progress: where to report; nowhere if None.
        label: what the stage is called there; it counts the images that are left to train on.
        collated: makes a batch of items of `train_images`.
        module: what computes the loss of such a batch, `Classifier` if None; then the network is what it takes, and if
            it is `answered`, the batches stand for the teacher.
        measure: called with the number of every epoch that ends, while the network is in evaluation mode and where it
            is trained; what it returns is added to the row of that epoch.

    Raises:
        ResnexusError: another training is in the folder, a device is not there, a setting cannot be, an image cannot be
            read, the loss is not finite, a teacher is missing or has no effect, or lightning is not installed.
        Stopped: SIGTERM came, and the training was kept.
    """
    required("lightning")
    from resnexus.training.board import Board
    from resnexus.training.checkpoints import newest_training, remove_surplus
    from resnexus.training.module import Classifier
    from resnexus.training.optimizers import stage_factors
    from resnexus.training.saving import Saving
    from resnexus.training.validation import Validation

    where = placed(device, devices)
    check_teacher(recipe, given=teacher is not None or (module is not None and module.answered))
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    folder = out / "checkpoints"
    figures = Validation(val_images, keep, out / "metrics.csv", workers=recipe.step.workers, measure=measure)
    with _quiet():
        board = [Board(out / "tensorboard", figures)] if tensorboard else []
        callbacks: list[Any] = [figures, *board, Saving(folder, every_s=save_every_s)]
        # What is refused is refused before the folder holds the recipe: then it takes no other.
        trainer = _trainer(recipe, callbacks, where)
        order = _order(len(train_images), recipe, trainer.world_size)
        stage_factors(network, recipe.optim, (module or Classifier).part_of)
        _prepare(network, recipe)
        _check_conditions(recipe, conditions or {}, out, trainer.world_size)
        saved = newest_training(folder)
        meet_again(trainer.strategy.root_device)
        loader = _loader(train_images, order, collated, recipe, trainer)
        learner = (module or Classifier)(
            network,
            len(train_images.classes),
            recipe,
            loader,
            teacher=None if teacher is None else Teacher(teacher, recipe),
            allow_bad_images=allow_bad_images,
            out=out,
        )
        with _told(progress, label, trainer, order, (saved.batch if saved else 0, recipe.epochs * order.batches)):
            _fit(trainer, learner, loader, saved.path if saved else None)
    remove_surplus(folder)
    network.cpu().eval()
    return Outcome(rows=tuple(figures.rows), waiting=figures.waiting.share)


def _prepare(network: nn.Module, recipe: Recipe) -> None:
    """Set up a network as the recipe's steps are computed."""
    from resnexus.training.drop_path import set_drop_path
    from resnexus.training.optimizers import freeze
    from resnexus.training.synchronised import synchronise_batch_norm

    if recipe.step.channels_last:
        network.to(memory_format=torch.channels_last)
    if recipe.step.grad_checkpointing:
        enable = getattr(network, "set_grad_checkpointing", None)
        if not callable(enable):
            raise ResnexusError(f"grad_checkpointing=True: a {type(network).__name__} has no set_grad_checkpointing")
        enable()
    if recipe.step.drop_path:
        set_drop_path(network, recipe.step.drop_path)
    if recipe.step.sync_batch_norm:
        synchronise_batch_norm(network)
    # Before several processes agree on which gradients they share, and before there is an optimiser.
    freeze(network, recipe.optim.freeze_stages)


def _order(images: int, recipe: Recipe, processes: int) -> EpochOrder:
    size, rest = divmod(recipe.global_batch_size, recipe.step.accumulate)
    if rest:
        raise ResnexusError(
            f"global_batch_size={recipe.global_batch_size}: expected a multiple of accumulate={recipe.step.accumulate}"
        )
    return EpochOrder(
        images=images, batch_size=size, seed=recipe.seed, repeats=recipe.images.repeats, processes=processes
    )


def _trainer(recipe: Recipe, callbacks: list[Any], where: dict[str, Any]) -> lightning.Trainer:
    import lightning
    from lightning.fabric.plugins.environments.lightning import LightningEnvironment
    from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    from resnexus.training.saving import SavingIO

    # Said here, because Lightning takes whatever runs in a job of SLURM for a task of srun.
    environment = TorchElasticEnvironment() if TorchElasticEnvironment.detect() else LightningEnvironment()
    precision = _LIGHTNING_PRECISIONS[recipe.step.precision]
    trainer = lightning.Trainer(
        **where,
        max_epochs=recipe.epochs,
        precision=precision,  # type: ignore[arg-type]
        accumulate_grad_batches=recipe.step.accumulate,
        gradient_clip_val=recipe.optim.clip_norm,
        plugins=[SavingIO(), environment],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        callbacks=callbacks,
    )
    if trainer.precision != precision:  # Lightning takes another one where there is none of it
        raise ResnexusError(f"precision={recipe.step.precision!r} is not for the CPU: set precision=bf16 or fp32")
    return trainer


def _loader(
    images: LabelledImages | Canvases | Photographs,
    order: EpochOrder,
    collated: Callable[[Any], Any],
    recipe: Recipe,
    trainer: lightning.Trainer,
) -> TrainingLoader:
    return TrainingLoader(
        images,
        order,
        process=trainer.global_rank,
        collate=collated,
        workers=recipe.step.workers,
        pin=trainer.strategy.root_device.type == "cuda",
    )


@contextmanager
def _told(
    progress: Progress | None, label: str, trainer: lightning.Trainer, order: EpochOrder, span: tuple[int, int]
) -> Iterator[None]:
    """Report the images of every batch that is done, over all processes; `span` is where it goes on, and the end.

    Those of an earlier start are not counted: they took no time now, and would make what is left look short.
    """
    import lightning

    first, end = map(order.images_before, span)
    shown = progress if progress is not None and trainer.is_global_zero else Silent()
    with shown.stage(f"{label}, images", end - first) as advance:

        class Advancing(lightning.Callback):
            def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: Any, *arguments: Any) -> None:
                done = pl_module.batches
                advance(order.images_before(done) - order.images_before(done - 1))

        trainer.callbacks.insert(0, Advancing())  # type: ignore[attr-defined]
        yield


def _check_conditions(recipe: Recipe, conditions: dict[str, Any], out: Path, processes: int) -> None:
    from resnexus.training.saving import check_same

    out.mkdir(parents=True, exist_ok=True)
    path = out / "recipe.json"
    settings = {name: value for name, value in recipe.flat().items() if name != "workers"}
    # Where an epoch ends, and which images a batch has, follow from the number of processes.
    wanted = json.loads(json.dumps(settings | conditions | {"processes": processes}))
    if path.is_file():
        try:
            recorded = read_json(dict[str, Any], path)
        except RecordError as error:
            raise ResnexusError(f"{error}; give another folder") from error
        check_same(recorded, wanted, out)
        return
    write_json(wanted, path)


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        for message in _EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message=message)
        yield


def _fit(trainer: lightning.Trainer, module: Any, loader: TrainingLoader, resume: Path | None) -> None:
    """Run the trainer; Ctrl-C arrives here as Lightning's exit and leaves as what it was; so do both handlers."""
    handler, terminated = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    try:
        trainer.fit(module, loader, ckpt_path=resume)
    except SystemExit as stop:
        if trainer.interrupted and stop.code != STOPPED_EXIT_CODE:  # that of a second SIGTERM is meant
            signal.signal(signal.SIGINT, handler)
            raise KeyboardInterrupt from stop
        raise
    finally:
        heard_by(terminated)
