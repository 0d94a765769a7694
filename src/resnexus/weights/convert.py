"""Read weights of any known kind, and write them as another."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from resnexus.architectures.spec import Architecture
from resnexus.errors import ResnexusError, unknown
from resnexus.files import replacing
from resnexus.weights.checkpoint_file import (
    CheckpointFileError,
    Provenance,
    read_checkpoint,
    read_provenance,
    sha256,
    write_checkpoint,
)
from resnexus.weights.detect import Detection, LayoutName, detect, differing_fields
from resnexus.weights.mapping import from_paddle, from_timm, to_paddle, to_timm
from resnexus.weights.pdparams import NAME_TABLE, read_pdparams

TORCH_SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".tar")
SUFFIXES = (".pdparams", ".safetensors", *TORCH_SUFFIXES)
LAYOUTS = ("paddle", "resnexus", "timm")

_STATES = ("state_dict", "state_dict_ema", "model", "model_ema", "model_state_dict", "ema", "ema_state_dict")
_WRAPPERS = ("module.", "_orig_mod.", "model.", "network.")
_COUNTER = "num_batches_tracked"


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A state as it lies in a file.

    Attributes:
        path: the file.
        entries: name -> tensor, in the file's own names; dtypes that NumPy lacks are widened to float32.
        provenance: what the file says about itself.
    """

    path: Path
    entries: dict[str, Tensor]
    provenance: Provenance


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
    layout: LayoutName
    entries: int

    def __str__(self) -> str:
        return f"{self.source}: {self.found}\n{self.target}: {self.entries} entries, layout {self.layout}"


def load_state(path: str | os.PathLike[str], *, entry: str | None = None, prefix: str | None = None) -> Loaded:
    """Read the weights in a file, running no code from it.

    Args:
        path: `.pdparams`, `.safetensors`, or what `torch.save` wrote (`.pth`, `.pt`, `.bin`, `.ckpt`, `.tar`).
        entry: for a torch file that holds more than one state, the one to read, e.g. `"state_dict_ema"`.
        prefix: for a file whose state holds more than one network, the one to read, e.g. `"Student"`.

    Raises:
        ResnexusError: no such file, of another kind, damaged, holding anything but one state dict, or an `entry`
            or `prefix` that is missing or has no effect.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise unknown("kind of file", path.name, [f"*{suffix}" for suffix in SUFFIXES])
    if entry is not None and path.suffix not in TORCH_SUFFIXES:
        raise ResnexusError(f"entry={entry!r} has no effect on {path.name}: it holds one state")
    if path.suffix == ".pdparams":
        arrays = read_pdparams(path, prefix)
        return Loaded(
            path=path,
            entries=_floats({n: torch.from_numpy(a) for n, a in arrays.items()}, path),
            provenance=Provenance(version=None),
        )
    if path.suffix == ".safetensors":
        entries, provenance = read_checkpoint(path), read_provenance(path)
    else:
        entries, provenance = _torch_state(path, entry), Provenance(version=None)
    return Loaded(path=path, entries=_floats(_unwrapped(entries, prefix, path), path), provenance=provenance)


def ours(loaded: Loaded, architecture: str | Architecture | None = None) -> tuple[Detection, dict[str, Tensor]]:
    """Return what a file holds, and its weights as the state dict of `create_model`.

    Args:
        loaded: what `load_state` returned.
        architecture: a name or a row, if it is known.

    Raises:
        ResnexusError: no network fits, several do, or the file says that it is of another network than
            `architecture`.
    """
    written_for = loaded.provenance.architecture
    try:
        if architecture is None:
            architecture = written_for
        found = detect(loaded.entries, architecture)
    except ResnexusError as error:
        raise ResnexusError(f"{loaded.path}: {error}") from error
    row = found.architecture
    if written_for is not None and (fields := differing_fields(written_for, row)):
        raise ResnexusError(f"{loaded.path} was written for a network with {fields}, not for this {row.name}")
    if found.layout == "paddle":
        return found, from_paddle(row, {name: tensor.numpy() for name, tensor in loaded.entries.items()})
    if found.layout == "timm":
        return found, from_timm(row, loaded.entries)
    state = dict(loaded.entries)
    for name in loaded.entries:
        if name.endswith("running_var"):
            state.setdefault(name.replace("running_var", _COUNTER), torch.tensor(0))
    return found, state


def convert(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    architecture: str | Architecture | None = None,
    layout: LayoutName | None = None,
    entry: str | None = None,
    prefix: str | None = None,
) -> Conversion:
    """Convert a file of weights; the suffix of `target` says to what.

    Args:
        source: as for `load_state`.
        target: `.pdparams`, `.safetensors`, or a suffix of torch; replaced if it exists, whole or not at all.
        architecture: a name or a row, where names and shapes cannot tell, or to be sure.
        layout: whose names to write: `"resnexus"`, `"timm"` (torchvision's are the same) or `"paddle"`. By default
            Paddle's in a `.pdparams` file and ours in others.
        entry: as for `load_state`.
        prefix: as for `load_state`.

    Raises:
        ResnexusError: the source cannot be read, no network fits it, or the target's layout cannot express it.
    """
    source, target = Path(source), Path(target)
    if target.suffix not in SUFFIXES:
        raise unknown("kind of file", target.name, [f"*{suffix}" for suffix in SUFFIXES])
    if layout is None:
        layout = "paddle" if target.suffix == ".pdparams" else "resnexus"
    if layout not in LAYOUTS:
        raise unknown("layout", layout, LAYOUTS)
    if target.suffix == ".pdparams" and layout != "paddle":
        raise ResnexusError(f"layout={layout!r}: a .pdparams file has Paddle's names; choose another suffix")
    loaded = load_state(source, entry=entry, prefix=prefix)
    found, state = ours(loaded, architecture)
    written = _in_layout(layout, found.architecture, state)
    _write(written, target, layout, _provenance(loaded, found.architecture))
    return Conversion(source=source, target=target, found=found, layout=layout, entries=len(written))


def _in_layout(layout: LayoutName, row: Architecture, state: dict[str, Tensor]) -> dict[str, Tensor]:
    if layout == "paddle":
        return {name: torch.from_numpy(array) for name, array in to_paddle(row, state).items()}
    return to_timm(row, state) if layout == "timm" else state


def _provenance(loaded: Loaded, row: Architecture) -> Provenance:
    if loaded.provenance.source is not None:
        return replace(loaded.provenance, architecture=row)
    return Provenance(architecture=row, source=loaded.path.name, source_sha256=sha256(loaded.path))


def _write(state: dict[str, Tensor], target: Path, layout: LayoutName, provenance: Provenance) -> None:
    if target.suffix == ".safetensors":
        # Only a file in our own names is read by the row in its metadata.
        write_checkpoint(state, target, provenance if layout == "resnexus" else replace(provenance, architecture=None))
        return
    with replacing(target, CheckpointFileError) as temporary, temporary.open("wb") as file:
        if target.suffix == ".pdparams":
            arrays: dict[str, Any] = {name: tensor.numpy() for name, tensor in state.items()}
            pickle.dump(arrays | {NAME_TABLE: {name: name for name in arrays}}, file, protocol=4)
        else:
            torch.save(state, file)


def _torch_state(path: Path, entry: str | None) -> dict[str, Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointFileError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # a damaged file makes torch raise whatever it comes across
        reason = str(error).partition("\n")[0]
        raise CheckpointFileError(
            f"cannot read {path} without running code from it: {reason} Save a state dict: "
            "torch.save(model.state_dict(), path)"
        ) from error
    if entry is not None:
        if not isinstance(content, Mapping) or entry not in content:
            raise unknown(f"entry of {path.name}", entry, map(str, content) if isinstance(content, Mapping) else [])
        content = content[entry]
    elif isinstance(content, Mapping) and not _is_state(content):
        states = [name for name in _STATES if name in content and _is_state(content[name])]
        if len(states) > 1:
            raise ResnexusError(f"{path} holds several states: choose one with entry= {' or '.join(map(repr, states))}")
        if not states:
            raise ResnexusError(
                f"{path} holds no state dict, but {', '.join(map(str, list(content)[:12])) or 'nothing'}"
            )
        content = content[states[0]]
    if not _is_state(content):
        raise ResnexusError(f"{path} holds {type(content).__name__}, not a state dict of tensors")
    return {str(name): tensor.detach() for name, tensor in content.items()}


def _is_state(content: object) -> bool:
    return isinstance(content, Mapping) and bool(content) and all(isinstance(x, Tensor) for x in content.values())


def _unwrapped(entries: dict[str, Tensor], prefix: str | None, path: Path) -> dict[str, Tensor]:
    """Remove what wrappers such as DataParallel put before every name, and choose one network by its prefix."""
    if prefix is not None:
        start = prefix.rstrip(".") + "."
        chosen = {name.removeprefix(start): tensor for name, tensor in entries.items() if name.startswith(start)}
        if not chosen:
            begins = {name.partition(".")[0] for name in entries}
            raise unknown(f"prefix of the entries in {path.name}", prefix, begins)
        entries = chosen
    if not entries:
        raise ResnexusError(f"{path} holds no weights")
    while wrapper := next((w for w in _WRAPPERS if all(name.startswith(w) for name in entries)), None):
        entries = {name.removeprefix(wrapper): tensor for name, tensor in entries.items()}
    return entries


def _floats(entries: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    for name, tensor in entries.items():
        plain = tensor.layout == torch.strided and not tensor.is_quantized and not tensor.is_meta
        if name.endswith(_COUNTER) or (plain and tensor.is_floating_point()):
            continue
        raise ResnexusError(f"{path}: {name} holds {tensor.dtype}, {tensor.layout}: expected plain floating point")
    known = (torch.float16, torch.float32, torch.float64)
    return {
        name: tensor if tensor.dtype in known or not tensor.is_floating_point() else tensor.float()
        for name, tensor in entries.items()
    }
