"""When a training is kept: at the end of an epoch, from time to time, and when it is asked to stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import lightning
import torch
import torch.distributed as dist
from lightning.fabric.plugins import CheckpointIO

from resnexus.errors import ResnexusError, printable
from resnexus.training.checkpoints import SavedTraining, read_training, save_training
from resnexus.training.stopping import STOPPED_EXIT_CODE, Stopped, heard_by

ASK_EVERY = 8
"""Steps between two questions to the other processes: was one asked to stop, is it time to keep the training."""


class SavingIO(CheckpointIO):
    """Writes and reads Lightning's checkpoints our way; a path names the folder and the number of batches."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write one; `path` is FOLDER/BATCHES."""
        save_training(checkpoint, Path(path).parent, int(Path(path).name))

    def load_checkpoint(self, path: Any, map_location: Any | None = None, weights_only: bool | None = None) -> Any:
        """Read the one that lies at `path`."""
        return read_training(SavedTraining(0, Path(path)))

    def remove_checkpoint(self, path: Any) -> None:
        """Old ones go when one is written."""


class Saving(lightning.Callback):
    """Keeps the training in a folder.

    Args:
        folder: of the checkpoints.
        every_s: seconds between two checkpoints within an epoch.
        clock: seconds.
    """

    def __init__(self, folder: Path, *, every_s: float = 600.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.folder, self.every_s, self.clock = folder, every_s, clock
        self._last = clock()
        self._asked = False

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Hear SIGTERM from now on; whoever calls the trainer gives it back to whom it was."""
        heard_by(self._ask)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Hear SIGTERM alone.

        Lightning has put a handler of its own before ours meanwhile, which tells the other processes at once, from
        wherever this one is: with one of them gone it waits for it until it is killed, too.
        """
        heard_by(self._ask)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the training if it is time, or if it was asked to stop; after an epoch's last batch its end does so.

        Only between two steps of the optimiser: gradients that are still being gathered are not kept.
        """
        if batch_idx + 1 < trainer.num_training_batches and (batch_idx + 1) % trainer.accumulate_grad_batches == 0:
            stop = self._stops(trainer, batch_idx)
            if stop or self._due(trainer, batch_idx):
                self.save(trainer, pl_module)
            if stop:
                raise Stopped(self.folder.parent)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Keep the training."""
        self.save(trainer, pl_module)
        if self._stops(trainer, ASK_EVERY - 1):
            raise Stopped(self.folder.parent)

    def save(self, trainer: lightning.Trainer, module: Any) -> None:
        """Write a checkpoint now."""
        trainer.save_checkpoint(self.folder / str(module.batches))
        self._last = self.clock()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise SystemExit(STOPPED_EXIT_CODE)
        self._asked = True

    def _stops(self, trainer: lightning.Trainer, batch_idx: int) -> bool:
        """Whether any process was asked; all of them answer alike."""
        return _any(trainer, batch_idx, self._asked)

    def _due(self, trainer: lightning.Trainer, batch_idx: int) -> bool:
        """Whether it is time by the clock of any process; all of them answer alike."""
        return _any(trainer, batch_idx, self.clock() - self._last >= self.every_s)


def _any(trainer: lightning.Trainer, batch_idx: int, own: bool) -> bool:
    """Whether it is so in any process; of several, each asks the others in the same steps, and else says no."""
    if trainer.world_size == 1:
        return own
    if (batch_idx + 1) % ASK_EVERY:
        return False
    found = torch.tensor(float(own), device=trainer.strategy.root_device)
    dist.all_reduce(found)
    return bool(found > 0)


_FILES = " (known by the paths of the files, as the data were named, and their sizes)"
_KNOWN_BY = {"train_images": _FILES, "val_images": _FILES}
"""Condition -> what tells one from another, where that is a digest."""


def check_same(recorded: dict[str, Any], wanted: dict[str, Any], folder: Path) -> None:
    """Check that a folder's training is the one that is asked for.

    Raises:
        ResnexusError: something differs; the message names it.
    """
    different = [name for name in sorted(recorded.keys() | wanted.keys()) if recorded.get(name) != wanted.get(name)]
    if different:
        name = different[0]
        there, here = (values.get(name) for values in (recorded, wanted))
        raise ResnexusError(
            f"{printable(folder)} holds a training with {name}={there!r}, not {here!r}{_KNOWN_BY.get(name, '')}: give "
            "another folder, or the same settings to go on"
        )
