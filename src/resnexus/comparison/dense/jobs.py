"""Which trainings a comparison in segmentation or detection is made of, and what is kept of the finished ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import torch

from resnexus.architectures.spec import Architecture
from resnexus.comparison.dense.networks import BACKBONES, NETWORKS, DenseNetwork, Task
from resnexus.comparison.dense.settings import DenseSettings
from resnexus.comparison.jobs import check_named_once
from resnexus.data.canvases import Canvases
from resnexus.errors import ResnexusError, unknown
from resnexus.records import read_json, write_json
from resnexus.report.dense.record import DenseRun
from resnexus.training.hardware import hardware
from resnexus.version import __version__

VAL_SEED = 0
"""Of the canvases to evaluate on: all trainings are measured on the same."""


@dataclass(frozen=True, kw_only=True)
class DenseTraining:
    """One training to be done.

    Attributes:
        task: what to train for.
        row: the backbone.
        seed: of everything random.
        settings: of the training.
    """

    task: Task
    row: Architecture
    seed: int
    settings: DenseSettings

    @property
    def title(self) -> str:
        """What the job is called in print."""
        return f"{self.row.name}, seed {self.seed}"

    @property
    def name(self) -> str:
        """Name of the job's files: jobs of other conditions have other names."""
        return f"{self.task}-{self.row.name}-seed{self.seed}-{self.key[:12]}"

    @cached_property
    def key(self) -> str:
        """A hash of all that the result depends on: two jobs with one key are the same job."""
        content = {
            "task": self.task,
            "row": asdict(self.row),
            "seed": self.seed,
            "settings": self.settings.to_dict(),
            "device": hardware().device,
            "canvas": hashlib.sha256(self.val_canvases[0].pixels.tobytes()).hexdigest(),
            "resnexus": __version__,
            "torch": torch.__version__,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def train_canvases(self) -> Canvases:
        """What to train on; another seed has other canvases."""
        return Canvases(self.seed, self.settings.train_canvases, held_out=False)

    @property
    def val_canvases(self) -> Canvases:
        """What to evaluate on."""
        return Canvases(VAL_SEED, self.settings.val_canvases, held_out=True)

    def network(self) -> DenseNetwork:
        """Create the network as training starts from it."""
        torch.manual_seed(self.seed)
        return NETWORKS[self.task](self.row)


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The record of a finished training.

    Attributes:
        key: of the training; under another one it is not used again.
        run: what was measured.
    """

    key: str
    run: DenseRun


def dense_trainings(
    task: Task, *, models: Sequence[str | Architecture] | None, seeds: int, settings: DenseSettings
) -> list[DenseTraining]:
    """Return the trainings of a comparison, all networks with the first seed first; arguments as for `compare_dense`.

    Raises:
        ResnexusError: a name or a number cannot be used.
    """
    if isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 1:
        raise ResnexusError(f"seeds={seeds!r}: expected at least 1")
    rows = [_backbone(model) for model in (BACKBONES if models is None else models)]
    check_named_once(rows)
    return [DenseTraining(task=task, row=row, seed=seed, settings=settings) for seed in range(seeds) for row in rows]


def keep(job: DenseTraining, run: DenseRun, out: Path) -> None:
    """Write the record of a finished training.

    Raises:
        ResnexusError: the folder cannot be written.
    """
    write_json(Finished(key=job.key, run=run), _record(job, out))


def finished(job: DenseTraining, out: Path) -> DenseRun | None:
    """Return what was measured if `job` was finished in `out` before, under the same conditions; else None.

    Raises:
        ResnexusError: a record that cannot be read.
    """
    path = _record(job, out)
    record = read_json(Finished, path) if path.is_file() else None
    return record.run if record is not None and record.key == job.key else None


def _record(job: DenseTraining, out: Path) -> Path:
    return out / "runs" / f"{job.name}.json"


def _backbone(model: str | Architecture) -> Architecture:
    if isinstance(model, Architecture):
        return model
    if model not in BACKBONES:
        raise unknown("backbone for canvases of digits", model, BACKBONES)
    return BACKBONES[model]
