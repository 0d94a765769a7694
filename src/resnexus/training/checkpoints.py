"""Checkpoints of a training that goes on after anything: written whole, named by their digest, checked when read."""

from __future__ import annotations

import hashlib
import io
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from resnexus.errors import ResnexusError, printable
from resnexus.files import sweep, write_bytes

KEPT = 2
"""How many lie in a folder: the newest, and the one before in case it is damaged."""

_NAME = re.compile(r"batch(?P<batch>\d{9})-(?P<digest>[0-9a-f]{16})\.ckpt")
_log = logging.getLogger("resnexus")


@dataclass(frozen=True, order=True)
class SavedTraining:
    """A checkpoint in a folder.

    Attributes:
        batch: batches that had been trained on.
        path: of the file; its name holds the beginning of the SHA-256 of what it should hold.
    """

    batch: int
    path: Path


def save_training(content: dict[str, Any], folder: Path, batch: int) -> SavedTraining:
    """Write a checkpoint; then remove all but the newest `KEPT`.

    What is there is not touched before the new one lies on the disk.

    Raises:
        ResnexusError: the folder cannot be written, or the disk is full.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    data = buffer.getvalue()
    path = folder / f"batch{batch:09d}-{hashlib.sha256(data).hexdigest()[:16]}.ckpt"
    write_bytes(data, path)
    remove_surplus(folder)
    return SavedTraining(batch, path)


def remove_surplus(folder: Path) -> None:
    """Remove all checkpoints but the newest `KEPT`, and what a killed process was writing.

    Whoever is killed right after it has written a checkpoint leaves one too many; of a finished training none follows.
    """
    if folder.is_dir():
        sweep(folder)
    for old in saved_trainings(folder)[:-KEPT]:
        old.path.unlink(missing_ok=True)


def saved_trainings(folder: Path) -> list[SavedTraining]:
    """Return the checkpoints of a folder, oldest first; unchecked."""
    found = [(_NAME.fullmatch(path.name), path) for path in folder.glob("batch*.ckpt")]
    return sorted(SavedTraining(int(match["batch"]), path) for match, path in found if match)


def read_training(saved: SavedTraining) -> dict[str, Any]:
    """Return what a checkpoint holds; runs no code from it.

    Raises:
        ResnexusError: it cannot be read, or is not what was written.
    """
    try:
        data = saved.path.read_bytes()
    except OSError as error:
        raise ResnexusError(f"cannot read {printable(saved.path)}: {error.strerror or error}") from error
    if hashlib.sha256(data).hexdigest()[:16] not in saved.path.name:
        raise ResnexusError(f"{printable(saved.path)} is damaged: it does not hold what was written")
    content: dict[str, Any] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return content


def newest_training(folder: Path) -> SavedTraining | None:
    """Return the newest checkpoint that is whole, or None; those that are damaged are said in the log."""
    for saved in reversed(saved_trainings(folder)):
        try:
            read_training(saved)
        except ResnexusError as error:
            _log.warning("%s; going on from the one before", error)
        else:
            return saved
    return None
