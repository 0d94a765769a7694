"""Our file of weights: safetensors, with the record that says what the weights are."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from resnexus.architectures.spec import Architecture
from resnexus.data.preprocess import Preprocess
from resnexus.errors import ResnexusError, printable
from resnexus.files import replacing
from resnexus.records import from_json, to_json
from resnexus.version import __version__

_KEY = "resnexus"
"""Key of the record among the metadata of safetensors."""


class CheckpointFileError(ResnexusError):
    """A file of weights that cannot be read or written; the message names it, the reason and the fix."""


@dataclass(frozen=True, kw_only=True)
class CheckpointRecord:
    """What a file of weights says about itself; None for what is not known.

    It travels with the weights: training writes it, conversion keeps it, and a network that is created from the file
    has it as its `record`.

    Attributes:
        architecture: the network that the weights fit.
        classes: what the logits stand for, in their order.
        multi_label: whether every class is a question of its own, by the sigmoid of its logit, and not one among all.
        preprocess: how images are to be prepared.
        recipe: how the weights were trained; plain values of JSON.
        metrics: what was measured of them, by name, e.g. `"top1"`, a fraction.
        teacher: whose answers they learned, as it was named in training.
        teacher_sha256: of its file, or of the state of a torch module, in hexadecimal.
        source: address or name of the file they were converted from.
        source_sha256: of that file, in hexadecimal.
        checkpoint: published name, e.g. `"Res2Net50_vd_26w_4s_ssld"`.
        tag: `"imagenet"` or `"ssld"`.
        licence: SPDX identifier.
        version: of the Resnexus that wrote the file; None if something else did.

    Raises:
        ResnexusError: a value that is not what is stated above.
    """

    architecture: Architecture | None = None
    classes: tuple[str, ...] | None = None
    multi_label: bool | None = None
    preprocess: Preprocess | None = None
    recipe: Mapping[str, Any] | None = None
    metrics: Mapping[str, float] | None = None
    teacher: str | None = None
    teacher_sha256: str | None = None
    source: str | None = None
    source_sha256: str | None = None
    checkpoint: str | None = None
    tag: str | None = None
    licence: str | None = None
    version: str | None = __version__

    def __post_init__(self) -> None:
        if self.classes is not None:
            object.__setattr__(self, "classes", tuple(self.classes))
            if not self.classes:
                raise ResnexusError("classes=(): give the name of at least one class, or None")
        for field in ("recipe", "metrics"):
            object.__setattr__(self, field, _plain(field, getattr(self, field)))
        for field in ("teacher_sha256", "source_sha256"):
            digest = getattr(self, field)
            if digest is not None and not re.fullmatch("[0-9a-f]{64}", digest):
                raise ResnexusError(f"{field}={printable(digest)!r}: expected 64 hexadecimal digits")

    def check_head(self, num_classes: int) -> None:
        """Refuse a last layer of other classes than are named here; 0 outputs, no last layer, fit any.

        Raises:
            ResnexusError: the numbers differ; names both.
        """
        if self.classes is not None and num_classes not in (0, len(self.classes)):
            raise ResnexusError(f"the record names {len(self.classes)} classes, and the last layer has {num_classes}")

    def with_fresh_head(self) -> CheckpointRecord:
        """Return the record of a network whose last layer was replaced: what the old one knew and reached is gone."""
        return replace(self, classes=None, multi_label=None, metrics=None)


def _plain(field: str, value: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return values as a file gives them back: lists for tuples, and nothing that JSON lacks."""
    if value is None:
        return None
    try:
        return dict(json.loads(json.dumps(dict(value), allow_nan=False)))
    except (TypeError, ValueError, RecursionError) as error:
        raise ResnexusError(f"{field}: expected a mapping of plain finite values of JSON: {error}") from error


def write_checkpoint(state: Mapping[str, Tensor], path: Path, record: CheckpointRecord) -> None:
    """Write a state dict and its record to `path`, whole or not at all; the same content gives the same bytes.

    Raises:
        CheckpointFileError: the file cannot be written.
        ResnexusError: the record names other classes than the last layer has.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    if "head.bias" in state:
        record.check_head(len(state["head.bias"]))
    metadata = {"format": "pt", _KEY: to_json(replace(record, version=__version__))}
    with replacing(path, CheckpointFileError) as temporary:
        try:
            save_file(_apart(state), temporary, metadata)
        except SafetensorError as error:
            raise CheckpointFileError(f"cannot write {printable(path)}: {error}") from error
        _in_order(temporary)


def _in_order(path: Path) -> None:
    """Sort the metadata in the header of a safetensors file, in place.

    safetensors writes them in an order that is drawn anew for every file. The header keeps its length: it is the same
    text in another order, and spaces fill it up, as the format has it.
    """
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        ordered = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode().ljust(size)
        if len(ordered) != size:
            raise CheckpointFileError(f"cannot write {printable(path)}: a header of {len(ordered)} bytes, not {size}")
        file.seek(8)
        file.write(ordered)


def _apart(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return contiguous tensors of which no two share memory, as safetensors needs them."""
    apart, seen = {}, set()
    for name, tensor in state.items():
        storage = tensor.untyped_storage()
        if storage.nbytes() != tensor.nbytes or storage.data_ptr() in seen:
            tensor = tensor.clone(memory_format=torch.contiguous_format)
        apart[name] = tensor.contiguous()
        seen.add(storage.data_ptr())
    return apart


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Return the state dict in a safetensors file; the tensors own their memory.

    The file is read and not mapped: mapped tensors start at odd addresses, which slows kernels down, would change
    with the file, and cost its size twice once they are copied.

    Raises:
        CheckpointFileError: no such file, or not safetensors.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path, backend="pread")
    except (OSError, SafetensorError) as error:
        raise _unreadable(path, error) from error


def read_record(path: Path) -> CheckpointRecord:
    """Return what a safetensors file says about itself; the fields of a file that we did not write are None.

    Raises:
        CheckpointFileError: no such file, or not safetensors.
        RecordError: a record with unknown fields, or values that it does not accept; names them.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise _unreadable(path, error) from error
    if _KEY not in metadata:
        return CheckpointRecord(version=None)
    return from_json(CheckpointRecord, metadata[_KEY], where=f"the record in {path}")


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal: 0.2 s for 300 MB where the processor has instructions for it.

    Raises:
        CheckpointFileError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> CheckpointFileError:
    if isinstance(error, OSError):
        # What safetensors raises has no number, and repeats the path.
        return CheckpointFileError(
            f"cannot read {printable(path)}: {error.strerror or printable(error).removesuffix(f': {printable(path)}')}"
        )
    reason = printable(error)
    if any(sign in reason for sign in _CUT_OFF):
        reason = f"the file is cut off, or its beginning is damaged ({reason})"
    return CheckpointFileError(f"cannot read {printable(path)}: {reason}")


# What safetensors says of a file that ends too early.
_CUT_OFF = ("incomplete metadata", "header too small", "invalid header length")
