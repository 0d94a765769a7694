"""Our file of weights: safetensors, with the network it fits and where the weights come from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor

from resnexus.architectures.spec import Architecture
from resnexus.data.preprocess import Preprocess
from resnexus.errors import ResnexusError
from resnexus.files import replacing
from resnexus.version import __version__


class CheckpointFileError(ResnexusError):
    """A file of weights that cannot be read or written; the message names it, the reason and the fix."""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What a file of weights says about itself, in the metadata of safetensors; None for what is not known.

    Attributes:
        architecture: the network that the weights fit.
        source: address or name of the file they were converted from.
        source_sha256: of that file.
        checkpoint: published name, e.g. `"Res2Net50_vd_26w_4s_ssld"`.
        tag: `"imagenet"` or `"ssld"`.
        licence: SPDX identifier.
        preprocess: how images are to be prepared.
        version: of the Resnexus that wrote the file; None if something else did.
    """

    architecture: Architecture | None = None
    source: str | None = None
    source_sha256: str | None = None
    checkpoint: str | None = None
    tag: str | None = None
    licence: str | None = None
    preprocess: Preprocess | None = None
    version: str | None = __version__


_TEXTS = ("source", "source_sha256", "checkpoint", "tag", "licence")


def write_checkpoint(state: Mapping[str, Tensor], path: Path, provenance: Provenance) -> None:
    """Write a state dict and its provenance to `path`, whole or not at all.

    Raises:
        CheckpointFileError: the file cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    metadata = {"format": "pt", "resnexus": __version__}
    metadata |= {field: value for field in _TEXTS if (value := getattr(provenance, field)) is not None}
    if provenance.architecture is not None:
        metadata["architecture"] = json.dumps(asdict(provenance.architecture))
    if provenance.preprocess is not None:
        metadata["preprocess"] = json.dumps(provenance.preprocess.to_dict())
    with replacing(path, CheckpointFileError) as temporary:
        try:
            save_file({name: tensor.contiguous() for name, tensor in state.items()}, temporary, metadata)
        except SafetensorError as error:
            raise CheckpointFileError(f"cannot write {path}: {error}") from error


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


def read_provenance(path: Path) -> Provenance:
    """Return what a safetensors file says about itself; the fields of a file that we did not write are None.

    Raises:
        CheckpointFileError: no such file, not safetensors, or metadata that contradict themselves.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise _unreadable(path, error) from error
    if "resnexus" not in metadata:
        return Provenance(version=None)
    try:
        row, preprocess = metadata.get("architecture"), metadata.get("preprocess")
        return Provenance(
            architecture=None if row is None else Architecture(**json.loads(row)),
            preprocess=None if preprocess is None else Preprocess.from_dict(json.loads(preprocess)),
            version=metadata["resnexus"],
            **{field: metadata.get(field) for field in _TEXTS},
        )
    except (TypeError, ValueError) as error:
        raise CheckpointFileError(f"{path}: its metadata cannot be understood: {error}") from error


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
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    return CheckpointFileError(f"cannot read {path}: {reason}")
