"""One training of one network: done once, kept, and not done again."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from resnexus.architectures.network import Network
from resnexus.architectures.spec import Architecture
from resnexus.data.augment import Augment
from resnexus.data.datasets import ImageArrays, ImageFiles, LabelledImages, Splits
from resnexus.evaluation.evaluate import evaluate
from resnexus.models import create_model
from resnexus.records import read_json, write_json
from resnexus.report.record import Run
from resnexus.training.fit import fit
from resnexus.training.settings import Settings
from resnexus.weights.checkpoint_file import CheckpointRecord, read_checkpoint, write_checkpoint


@dataclass(frozen=True, kw_only=True)
class Training:
    """One training to be done.

    Attributes:
        row: the network.
        weights: tag of the published weights to start from, or None to start from random ones.
        seed: of everything random.
        data: what to train and evaluate on.
        augment: the training transform of `data`.
        settings: of the training.
    """

    row: Architecture
    weights: str | None
    seed: int
    data: Splits
    augment: Augment
    settings: Settings

    @property
    def name(self) -> str:
        """Name of the job's files."""
        return f"{self.row.name}-seed{self.seed}"

    @cached_property
    def key(self) -> str:
        """A hash of all that the result depends on: two jobs with one key are the same job."""
        content = {
            "row": asdict(self.row),
            "weights": self.weights,
            "seed": self.seed,
            "settings": {name: value for name, value in self.settings.to_dict().items() if name != "workers"},
            "augment": asdict(self.augment),
            "preprocess": self.data.preprocess.to_dict(),
            "train": fingerprint(self.data.train),
            "val": fingerprint(self.data.val),
            "torch": torch.__version__,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def network(self) -> Network:
        """Create the network as training starts from it."""
        torch.manual_seed(self.seed)
        options: dict[str, Any] = {"num_classes": len(self.data.classes), "in_chans": self.data.preprocess.in_chans}
        if self.weights is not None:
            return create_model(self.row, pretrained=self.weights, **options)
        return create_model(self.row, **options)


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The record of a finished job, and the key under which it may be used again."""

    key: str
    run: Run


def finished(job: Training, out: Path) -> Run | None:
    """Return the record of `job` if it was finished in `out` before, under the same conditions; else None."""
    path = _record_path(job, out)
    if not path.is_file() or not weights_path(job, out).is_file():
        return None
    record = read_json(Finished, path)
    return record.run if record.key == job.key else None


def train(job: Training, out: Path, on_epoch: Callable[[], object] | None = None) -> Run:
    """Train, evaluate, and keep weights and record in `out`.

    Raises:
        ResnexusError: as `fit` and `evaluate` do, or the folder cannot be written.
    """
    network = job.network()
    start = time.perf_counter()
    fit(network, job.data.train, len(job.data.classes), job.settings, seed=job.seed, on_epoch=on_epoch)
    seconds = time.perf_counter() - start
    result = evaluate(network, job.data.val, workers=job.settings.workers)
    run = Run(
        seed=job.seed,
        top1=result.top1,
        top5=result.top5,
        images=result.images,
        skipped=tuple(_printable(f"{bad.path}: {bad.reason}") for bad in result.skipped),
        epochs=job.settings.epochs,
        seconds=seconds,
    )
    record = CheckpointRecord(
        architecture=job.row,
        classes=tuple(job.data.classes),
        preprocess=job.data.preprocess,
        recipe=job.settings.to_dict(),
        metrics={"top1": result.top1, "top5": result.top5},
    )
    write_checkpoint(network.state_dict(), weights_path(job, out), record)
    write_json(Finished(key=job.key, run=run), _record_path(job, out))
    return run


def trained_network(job: Training, out: Path) -> Network:
    """Return the network that `train` left in `out`, in evaluation mode."""
    with torch.device("meta"):
        network = Network(job.row, num_classes=len(job.data.classes), in_chans=job.data.preprocess.in_chans)
    network.load_state_dict(read_checkpoint(weights_path(job, out)), assign=True)
    return network.eval()


def weights_path(job: Training, out: Path) -> Path:
    """Where the weights of a job are kept."""
    return out / "weights" / f"{job.name}.safetensors"


def _record_path(job: Training, out: Path) -> Path:
    return out / "runs" / f"{job.name}.json"


def _printable(text: str) -> str:
    """Replace what a file name may hold and a text file may not."""
    return text.encode("utf-8", "replace").decode()


def fingerprint(dataset: LabelledImages) -> str:
    """Hash what a data set holds: pixels in memory; names, sizes and labels of files."""
    digest = hashlib.sha256("\0".join(dataset.classes).encode())
    if isinstance(dataset, ImageArrays):
        digest.update(dataset.pixels.tobytes())
        digest.update(dataset.labels.numpy().tobytes())
    elif isinstance(dataset, ImageFiles):
        digest.update(dataset.labels.numpy().tobytes())
        for path in dataset.paths:
            digest.update(f"{path}\0{os.path.getsize(path)}\0".encode(errors="surrogateescape"))
    else:
        raise TypeError(f"no fingerprint for {type(dataset).__name__}")
    return digest.hexdigest()
