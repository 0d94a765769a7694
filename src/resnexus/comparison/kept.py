"""What a comparison keeps of a finished training: weights, and beside them the record that vouches for them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from resnexus.architectures.network import Network
from resnexus.comparison.jobs import Training
from resnexus.errors import ResnexusError, printable
from resnexus.records import read_json, write_json
from resnexus.report.record import Run
from resnexus.weights.checkpoint_file import CheckpointRecord, read_checkpoint, sha256, write_checkpoint


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The record of a finished training.

    Attributes:
        key: of the training; under another one it is not used again.
        weights_sha256: of the file of weights that the record is about.
        run: what was measured.
    """

    key: str
    weights_sha256: str
    run: Run


def keep(job: Training, network: Network, run: Run, out: Path) -> None:
    """Write the weights and then the record, so that there is no record without its weights.

    Raises:
        ResnexusError: the folder cannot be written.
    """
    path = weights_path(job, out)
    splits = job.data.splits
    record = CheckpointRecord(
        architecture=job.row,
        classes=tuple(map(printable, splits.classes)),
        preprocess=splits.preprocess,
        recipe=job.settings.to_dict(),
        metrics={"top1": run.top1, "top5": run.top5},
    )
    write_checkpoint(network.state_dict(), path, record)
    write_json(Finished(key=job.key, weights_sha256=sha256(path), run=run), record_path(job, out))


def finished(job: Training, out: Path) -> Run | None:
    """Return what was measured if `job` was finished in `out` before, under the same conditions; else None.

    Raises:
        ResnexusError: a record that cannot be read, or weights that are not those of their record.
    """
    path, weights = record_path(job, out), weights_path(job, out)
    if not path.is_file() or not weights.is_file():
        return None
    record = read_json(Finished, path)
    if record.key != job.key:
        return None
    if sha256(weights) != record.weights_sha256:
        raise ResnexusError(
            f"{printable(weights)} was changed after its training: {printable(path)} is about other weights. Put it "
            "back, or remove both to train again"
        )
    return record.run


def trained_network(job: Training, out: Path) -> Network:
    """Return the network that `keep` left in `out`, in evaluation mode."""
    with torch.device("meta"):
        network = Network(
            job.row, num_classes=len(job.data.splits.classes), in_chans=job.data.splits.preprocess.in_chans
        )
    network.load_state_dict(read_checkpoint(weights_path(job, out)), assign=True)
    return network.eval()


def weights_path(job: Training, out: Path) -> Path:
    """Where the weights of a job are kept."""
    return out / "weights" / f"{job.name}.safetensors"


def record_path(job: Training, out: Path) -> Path:
    """Where the record of a job is kept."""
    return out / "runs" / f"{job.name}.json"
