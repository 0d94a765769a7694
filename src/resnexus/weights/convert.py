"""Read weights of any known kind, and write them as another."""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from resnexus.architectures.spec import Architecture
from resnexus.errors import ResnexusError, printable, unknown
from resnexus.files import replacing
from resnexus.weights.checkpoint_file import (
    CheckpointFileError,
    CheckpointRecord,
    read_checkpoint,
    read_record,
    sha256,
    write_checkpoint,
)
from resnexus.weights.detect import Detection, detect, differing_fields
from resnexus.weights.layouts import LAYOUTS, PADDLE, RESNEXUS
from resnexus.weights.mapping import COUNTER, from_layout, same_function, to_layout
from resnexus.weights.pdparams import NAME_TABLE, read_pdparams
from resnexus.weights.prefixes import prefix_of
from resnexus.weights.torch_file import MAX_INFLATION, read_torch_state

TORCH_SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".tar")
SUFFIXES = (".pdparams", ".safetensors", *TORCH_SUFFIXES)

_WRAPPERS = ("module.", "_orig_mod.", "model.", "network.")


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A state as it lies in a file.

    Attributes:
        path: the file.
        entries: name -> tensor, in the file's own names; dtypes that NumPy lacks are widened to float32.
        record: what the file says about itself.
    """

    path: Path
    entries: dict[str, Tensor]
    record: CheckpointRecord


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """What `convert` found and wrote.

    Attributes:
        source: the file read.
        target: the file written.
        found: the network and the names in the source.
        layout: the names in the target.
        entries: how many were written.
    """

    source: Path
    target: Path
    found: Detection
    layout: str
    entries: int

    def __str__(self) -> str:
        source, target = printable(self.source), printable(self.target)
        return f"{source}: {self.found}\n{target}: {self.entries} entries, layout {self.layout}"


def load_state(path: str | os.PathLike[str], *, entry: str | None = None, prefix: str | None = None) -> Loaded:
    """Read the weights in a file, running no code from it.

    Args:
        path: `.pdparams`, `.safetensors`, or what `torch.save` wrote (`.pth`, `.pt`, `.bin`, `.ckpt`, `.tar`).
        entry: for a torch file that holds more than one state, the one to read, e.g. `"state_dict_ema"`.
        prefix: for a file whose state holds more than one network, the one to read, e.g. `"Student"`. A file whose
            entries all carry one of `prefixes.PREFIXES` needs no choice.

    Raises:
        ResnexusError: no such file, of another kind, damaged, holding anything but one state dict, or an `entry`
            or `prefix` that is missing or has no effect.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise unknown("kind of file", printable(path.name), [f"*{suffix}" for suffix in SUFFIXES])
    if entry is not None and path.suffix not in TORCH_SUFFIXES:
        raise ResnexusError(f"entry={entry!r} has no effect on {printable(path.name)}: it holds one state")
    record = CheckpointRecord(version=None)
    if path.suffix == ".pdparams":
        entries = {name: torch.from_numpy(array) for name, array in read_pdparams(path, prefix).items()}
    elif path.suffix == ".safetensors":
        record = read_record(path)
        entries = _unwrapped(read_checkpoint(path), prefix, path)
    else:
        entries = _unwrapped(read_torch_state(path, entry), prefix, path)
    return Loaded(path=path, entries=_floats(entries, path), record=record)


def ours(loaded: Loaded, architecture: str | Architecture | None = None) -> tuple[Detection, dict[str, Tensor]]:
    """Return what a file holds, and its weights as the state dict of `create_model`.

    Args:
        loaded: what `load_state` returned.
        architecture: a name or a row, if it is known.

    Raises:
        ResnexusError: no network fits, several do, or the file says that it is of another network than
            `architecture`, or of other classes than its last layer has.
    """
    written_for = loaded.record.architecture
    try:
        found = detect(loaded.entries, written_for if architecture is None else architecture)
        row = found.architecture
        loaded.record.check_head(found.num_classes)
    except ResnexusError as error:
        raise ResnexusError(f"{printable(loaded.path)}: {error}") from error
    if written_for is not None and (fields := differing_fields(written_for, row)):
        raise ResnexusError(
            f"{printable(loaded.path)} was written for a network with {fields}, not for this {row.name}"
        )
    return found, from_layout(LAYOUTS[found.layout], row, loaded.entries)


def convert(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    architecture: str | Architecture | None = None,
    layout: str | None = None,
    entry: str | None = None,
    prefix: str | None = None,
) -> Conversion:
    """Convert a file of weights; the suffix of `target` says to what.

    Args:
        source: as for `load_state`.
        target: `.pdparams`, `.safetensors`, or a suffix of torch; replaced if it exists, whole or not at all.
        architecture: a name or a row, where names and shapes cannot tell, or to be sure.
        layout: whose names to write, one of `layouts.LAYOUTS`; torchvision's are those of `"timm"`. By default
            Paddle's in a `.pdparams` file and ours in others.
        entry: as for `load_state`.
        prefix: as for `load_state`.

    Raises:
        ResnexusError: the source cannot be read, no network fits it, or the target's layout cannot express it.
    """
    source, target = Path(source), Path(target)
    if target.suffix not in SUFFIXES:
        raise unknown("kind of file", printable(target.name), [f"*{suffix}" for suffix in SUFFIXES])
    if layout is None:
        layout = PADDLE.name if target.suffix == ".pdparams" else RESNEXUS.name
    if layout not in LAYOUTS:
        raise unknown("layout", layout, LAYOUTS)
    if target.suffix == ".pdparams" and layout != PADDLE.name:
        raise ResnexusError(f"layout={layout!r}: a .pdparams file has Paddle's names; choose another suffix")
    loaded = load_state(source, entry=entry, prefix=prefix)
    found, state = ours(loaded, architecture)
    row = same_function(LAYOUTS[layout], found.architecture)
    written = to_layout(LAYOUTS[layout], row, state)
    _write(written, target, layout, _record(loaded, row))
    return Conversion(source=source, target=target, found=found, layout=layout, entries=len(written))


def _record(loaded: Loaded, row: Architecture) -> CheckpointRecord:
    record = replace(loaded.record, architecture=row)
    if record.source is None:
        record = replace(record, source=printable(loaded.path.name), source_sha256=sha256(loaded.path))
    return record


def _write(state: dict[str, Tensor], target: Path, layout: str, record: CheckpointRecord) -> None:
    if target.suffix == ".safetensors":
        # Only a file in our own names is read by the row in its record.
        write_checkpoint(state, target, record if layout == RESNEXUS.name else replace(record, architecture=None))
        return
    with replacing(target, CheckpointFileError) as temporary, temporary.open("wb") as file:
        if target.suffix == ".pdparams":
            arrays: dict[str, Any] = {name: np.array(tensor.numpy(force=True)) for name, tensor in state.items()}
            pickle.dump(arrays | {NAME_TABLE: {name: name for name in arrays}}, file, protocol=4)
        else:
            _save(state, file)


def _save(state: dict[str, Tensor], file: BinaryIO) -> None:
    """Write as `torch.save` does; where the system refuses, its error and not what PyTorch's archive makes of it."""
    try:
        torch.save(state, file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def _unwrapped(entries: dict[str, Tensor], prefix: str | None, path: Path) -> dict[str, Tensor]:
    """Remove what wrappers such as DataParallel put before every name, and choose one network by its prefix."""
    if prefix is None:
        prefix = prefix_of(entries, printable(path), ResnexusError)
    if prefix is not None:
        start = prefix.rstrip(".") + "."
        chosen = {name.removeprefix(start): tensor for name, tensor in entries.items() if name.startswith(start)}
        if not chosen:
            begins = {printable(name.partition(".")[0]) for name in entries}
            raise unknown(f"prefix of the entries in {printable(path.name)}", prefix, begins)
        entries = chosen
    if not entries:
        raise ResnexusError(f"{printable(path)} holds no weights")
    while wrapper := next((w for w in _WRAPPERS if all(name.startswith(w) for name in entries)), None):
        entries = {name.removeprefix(wrapper): tensor for name, tensor in entries.items()}
    return entries


def _floats(entries: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Refuse what no weight can be, and widen what NumPy lacks: after that, no entry is larger than the file allows."""
    unpacked = 0
    for name, tensor in entries.items():
        counter = name.endswith(COUNTER) and tensor.ndim == 0
        plain = tensor.layout == torch.strided and not tensor.is_quantized and not tensor.is_meta
        if not plain or not (counter or tensor.is_floating_point()):
            raise ResnexusError(
                f"{printable(path)}: {printable(name)} holds {tensor.dtype}, {tensor.layout}: expected plain floating "
                "point"
            )
        unpacked += tensor.nbytes
        if tensor.nbytes > tensor.untyped_storage().nbytes():
            raise ResnexusError(
                f"{printable(path)}: {printable(name)} repeats its numbers: {tuple(tensor.shape)} needs "
                f"{tensor.nbytes:,} bytes, and {tensor.untyped_storage().nbytes():,} are stored"
            )
    if unpacked > MAX_INFLATION * path.stat().st_size:
        raise ResnexusError(f"{printable(path)}: its entries share their numbers and are larger than the file")
    known = (torch.float16, torch.float32, torch.float64)
    return {
        name: tensor if tensor.dtype in known or not tensor.is_floating_point() else tensor.float()
        for name, tensor in entries.items()
    }
