"""What a training is worth after every epoch: its accuracy, the best weights so far, and the table of it all."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
import torch.distributed as dist
from torch import Tensor

from resnexus.data.batches import Item
from resnexus.data.labelled import LabelledImages
from resnexus.data.order import Draw, drawn
from resnexus.evaluation.evaluate import evaluate, in_evaluation_mode
from resnexus.files import write_text

Keep = Callable[[dict[str, Tensor], dict[str, Any], str], None]
Measure = Callable[[int], dict[str, float]]


@dataclass
class Waiting:
    """Seconds that the training waited for its batches, and in all."""

    data_s: float = 0.0
    total_s: float = 0.0

    @property
    def share(self) -> float:
        """The share of the time spent waiting for data."""
        return self.data_s / self.total_s if self.total_s else 0.0


class Validation(lightning.Callback):
    """Evaluates after every epoch, and keeps the best weights.

    Args:
        dataset: to evaluate on; None to note the loss alone.
        keep: called with weights, figures and `"last"`, and where there is a data set with `"best"`; None to keep none.
        table: file of the figures, one row an epoch.
        workers: processes that read images.
        measure: gives further figures of an epoch, by its number; the network is in evaluation mode then.
        clock: seconds.

    Attributes:
        rows: figures of the epochs so far.
        waiting: of this process since it began.
    """

    def __init__(
        self,
        dataset: LabelledImages | None,
        keep: Keep | None,
        table: Path,
        *,
        workers: int = 0,
        measure: Measure | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.dataset, self.keep, self.table, self.workers, self.clock = dataset, keep, table, workers, clock
        self.measure = measure
        self.rows: list[dict[str, Any]] = []
        self.waiting = Waiting()
        self._loss, self._steps = torch.zeros((), dtype=torch.float64), 0
        self._begin = self._end = clock()

    @property
    def best(self) -> float:
        """The best top-1 so far, -1 before the first."""
        return max((row["top1"] for row in self.rows), default=-1.0)

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Count what passed since the last step: that was for the data."""
        self.waiting.data_s += self.clock() - self._end
        self._begin = self._end

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Add up the loss and the time."""
        if outputs is not None:
            # Added up where it is: a number of Python's would wait for the device in every step.
            loss = (outputs["loss"] if isinstance(outputs, dict) else outputs).detach()
            self._loss = self._loss.to(loss.device) + loss * trainer.accumulate_grad_batches
            self._steps += 1
        now = self.clock()
        self.waiting.total_s += now - self._begin
        self._end = now

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Evaluate, with the averaged weights if there are some."""
        row: dict[str, Any] = {
            "epoch": trainer.current_epoch + 1,
            "batches": pl_module.batches,
            "lr": float(trainer.optimizers[0].param_groups[0]["lr"]),
            "train_loss": float(self._loss) / max(1, self._steps),
        }
        self._loss, self._steps = torch.zeros((), dtype=torch.float64), 0
        if self.dataset is not None or self.keep is not None:
            self._judge(trainer, pl_module, row)
        if self.measure is not None:
            with _averaged(pl_module), in_evaluation_mode(pl_module.network):
                row |= self.measure(row["epoch"])
        self.rows.append(row)
        if trainer.is_global_zero:
            write_text(_csv(self.rows), self.table)
        self._end = self.clock()

    def _judge(self, trainer: lightning.Trainer, module: Any, row: dict[str, Any]) -> None:
        """Add the accuracy to a row if it can be told, and hand on the weights that have it."""
        network, found = module.network, dict[str, Any]()
        training = network.training
        with _averaged(module):
            if self.dataset is not None:
                top1, top5, images = _accuracy(trainer, network, self.dataset, self.workers)
                found = {"top1": top1, "top5": top5, "images": images}
            state = {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
        network.train(training)
        row |= found
        if self.keep is not None and trainer.is_global_zero:
            self.keep(state, row, "last")
            if found and found["top1"] > self.best:
                self.keep(state, row, "best")

    def state_dict(self) -> dict[str, Any]:
        """Return what a training that goes on needs."""
        return {"rows": self.rows, "loss": float(self._loss), "steps": self._steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self.rows, self._steps = state_dict["rows"], state_dict["steps"]
        self._loss = torch.tensor(state_dict["loss"], dtype=torch.float64)


def _averaged(module: Any) -> AbstractContextManager[object]:
    """Let a module's network have its averaged weights, if there are some."""
    return nullcontext() if module.average is None else module.average.applied(module.network)


def _accuracy(
    trainer: lightning.Trainer, network: torch.nn.Module, dataset: LabelledImages, workers: int
) -> tuple[float, float, int]:
    """Return top-1, top-5 and images of a whole data set; every process evaluates a share of it."""
    device, world = trainer.strategy.root_device, trainer.world_size
    if world == 1:
        found = evaluate(network, dataset, device=device, workers=workers)
        return found.top1, found.top5, found.images
    share = EveryNth(dataset, trainer.global_rank, world)
    own = evaluate(network, share, device=device, workers=workers) if len(share) else None
    counts = (round(own.top1 * own.images), round(own.top5 * own.images), own.images) if own else (0, 0, 0)
    total = torch.tensor(counts, device=device)
    dist.all_reduce(total)
    right, among, images = total.tolist()
    return right / images, among / images, images


class EveryNth(LabelledImages):
    """Every `of`-th image of a data set, from number `part` on."""

    def __init__(self, dataset: LabelledImages, part: int, of: int) -> None:
        self.dataset, self.part, self.of, self.classes = dataset, part, of, dataset.classes

    def __len__(self) -> int:
        return len(range(self.part, len(self.dataset), self.of))

    def __getitem__(self, index: int | Draw) -> Item:
        return self.dataset[self.part + drawn(index).image * self.of]


def _csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(dict.fromkeys(name for row in rows for name in row)))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
