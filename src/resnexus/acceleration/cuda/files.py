"""A network for a GPU in a folder: its steps, its weights, and which way each step goes if that was measured."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from resnexus.acceleration.backends.contract import BackendError
from resnexus.acceleration.cuda.arrange import Arranged
from resnexus.acceleration.cuda.steps import ProgramRecord
from resnexus.acceleration.cuda.ways import Weights
from resnexus.records import RecordError, read_json, write_json

_STEPS, _WEIGHTS, _CHOICES = "steps.json", "weights.safetensors", "choices.json"


@dataclass(frozen=True, kw_only=True)
class Choices:
    """Which way each step goes.

    Attributes:
        ways: name of the way, and of the setting of its kernel after a colon, by the description of a step.
    """

    ways: dict[str, str]


def write_network(arranged: Arranged, folder: Path) -> ProgramRecord:
    """Write steps and weights into a folder, and return the record of the steps."""
    save_file({name: tensor.contiguous() for name, tensor in arranged.weights.items()}, folder / _WEIGHTS)
    with (folder / _WEIGHTS).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    record = ProgramRecord(values=arranged.values, outputs=arranged.outputs, steps=arranged.steps, weights=digest)
    write_json(record, folder / _STEPS)
    return record


def read_steps(folder: Path) -> ProgramRecord:
    """Return the record of the steps.

    Raises:
        BackendError: the file is damaged.
    """
    try:
        return read_json(ProgramRecord, folder / _STEPS)
    except RecordError as error:
        raise BackendError(f"the built network in {folder} is damaged: {error}") from error


def read_weights(record: ProgramRecord, folder: Path, dtype: torch.dtype, device: torch.device) -> Weights:
    """Return the weights on a device, laid out as the steps read them.

    Raises:
        BackendError: the file is damaged, or of another network.
    """
    try:
        found = load_file(folder / _WEIGHTS)
    except Exception as error:  # safetensors has no public class for all of its errors
        raise BackendError(f"the weights in {folder} are damaged: {error}") from error
    wanted = {name for step in record.steps for name in step.weights}
    if found.keys() != wanted or any(tensor.dtype != dtype for tensor in found.values()):
        raise BackendError(f"the weights in {folder} are not those of its steps in {dtype}: build it again")
    return Weights({name: _laid_out(tensor, device) for name, tensor in found.items()})


def write_choices(ways: Mapping[str, str], folder: Path) -> None:
    """Write which way each step goes."""
    write_json(Choices(ways=dict(ways)), folder / _CHOICES)


def read_choices(folder: Path) -> dict[str, str]:
    """Return which way each step goes.

    Raises:
        BackendError: the file is damaged.
    """
    try:
        return read_json(Choices, folder / _CHOICES).ways
    except RecordError as error:
        raise BackendError(f"the choices in {folder} are damaged: {error}") from error


def _laid_out(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    layout = torch.channels_last if tensor.ndim == 4 else torch.contiguous_format
    return tensor.to(device).contiguous(memory_format=layout)
