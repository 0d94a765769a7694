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
from resnexus.comparison.dense.networks import NETWORKS, DenseNetwork
from resnexus.comparison.dense.settings import DenseSettings
from resnexus.comparison.dense.sources import CanvasSource, Source
from resnexus.comparison.jobs import check_named_once, content_of
from resnexus.data.photographs.photographs import Task
from resnexus.errors import ResnexusError
from resnexus.records import read_json, write_json
from resnexus.report.dense.record import DenseRun
from resnexus.training.hardware import hardware
from resnexus.version import __version__


@dataclass(frozen=True, kw_only=True)
class DenseTraining:
    """One training to be done.

    Attributes:
        task: what to train for.
        row: the backbone.
        seed: of everything random.
        settings: of the training.
        source: of what to train and evaluate on.
    """

    task: Task
    row: Architecture
    seed: int
    settings: DenseSettings
    source: Source

    @property
    def title(self) -> str:
        """What the job is called in print."""
        return f"{self.row.name}, seed {self.seed}"

    @property
    def shown_images(self) -> int:
        """Images that it is shown, counted in every epoch."""
        return self.settings.epochs * self.settings.train_images

    @property
    def name(self) -> str:
        """Name of the job's files: jobs of other conditions have other names."""
        return f"{self.task}-{self.row.name}-seed{self.seed}-{self.key[:12]}"

    @cached_property
    def key(self) -> str:
        """A hash of all that the result depends on: two jobs with one key are the same job.

        Raises:
            CheckpointFileError: a file of weights cannot be read.
        """
        form = self.source.form
        content = {
            "task": self.task,
            "row": asdict(self.row),
            "seed": self.seed,
            "settings": self.settings.to_dict(),
            "device": hardware().device,
            "scenes": self.source.digest,
            "image_size": form.size,
            "weights": None if isinstance(form.weights, bool) else content_of(form.weights),
            "resnexus": __version__,
            "torch": torch.__version__,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def network(self) -> DenseNetwork:
        """Create the network as training starts from it.

        Raises:
            ResnexusError: weights that cannot be had or do not fit.
        """
        torch.manual_seed(self.seed)
        return NETWORKS[self.task](self.row, self.source.form)


@dataclass(frozen=True, kw_only=True)
class DenseFinished:
    """The record of a finished training.

    Attributes:
        key: of the training; under another one it is not used again.
        run: what was measured.
    """

    key: str
    run: DenseRun


def dense_trainings(
    task: Task,
    *,
    models: Sequence[str | Architecture] | None,
    seeds: int,
    settings: DenseSettings,
    source: Source | None = None,
) -> list[DenseTraining]:
    """Return the trainings of a comparison, all networks with the first seed first; arguments as for `compare_dense`.

    Args:
        task: what to train for.
        models: names or rows; those that suit the source if None.
        seeds: trainings per network.
        settings: of the training.
        source: of what to train and evaluate on; canvases of digits if None.

    Raises:
        ResnexusError: a name or a number cannot be used.
    """
    if isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 1:
        raise ResnexusError(f"seeds={seeds!r}: expected at least 1")
    source = source or CanvasSource(settings=settings)
    rows = [source.backbone(model) for model in (source.default_models if models is None else models)]
    check_named_once(rows)
    for row in rows:
        settings.check_stages(row)
    return [
        DenseTraining(task=task, row=row, seed=seed, settings=settings, source=source)
        for seed in range(seeds)
        for row in rows
    ]


def keep(job: DenseTraining, run: DenseRun, out: Path) -> None:
    """Write the record of a finished training.

    Raises:
        ResnexusError: the folder cannot be written.
    """
    write_json(DenseFinished(key=job.key, run=run), _record(job, out))


def finished(job: DenseTraining, out: Path) -> DenseRun | None:
    """Return what was measured if `job` was finished in `out` before, under the same conditions; else None.

    Raises:
        ResnexusError: a record that cannot be read.
    """
    path = _record(job, out)
    record = read_json(DenseFinished, path) if path.is_file() else None
    return record.run if record is not None and record.key == job.key else None


def _record(job: DenseTraining, out: Path) -> Path:
    return out / "runs" / f"{job.name}.json"
