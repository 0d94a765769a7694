"""What TensorBoard shows of a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning

from resnexus.errors import ResnexusError, printable
from resnexus.packages import required
from resnexus.training.validation import Validation


class Board(lightning.Callback):
    """Writes the figures of every epoch for TensorBoard.

    `tensorboard --logdir FOLDER` shows loss, learning rate and accuracy over epochs. Where a training goes on, what was
    written of later epochs than it goes on from is taken back.

    Args:
        folder: of TensorBoard's files.
        validation: whose rows are written; it must run before this one.

    Raises:
        ResnexusError: TensorBoard is not installed, or cannot write to a folder of this name.
    """

    def __init__(self, folder: Path, validation: Validation) -> None:
        required("tensorboard")
        try:
            str(folder).encode()
        except UnicodeEncodeError as error:  # now, and not after an epoch
            raise ResnexusError(
                f"{printable(folder)}: TensorBoard writes to no folder whose name is not Unicode; give another one"
            ) from error
        self.folder, self.validation = folder, validation
        self._writer: Any = None

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write the last row."""
        if not trainer.is_global_zero:
            return
        *_, row = self.validation.rows
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self.folder), purge_step=row["epoch"])
        for name, value in row.items():
            if isinstance(value, float):
                self._writer.add_scalar(name, value, row["epoch"])
        self._writer.flush()

    def teardown(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
