"""Read the files of `torch.save` without running code from them, and without more memory than they account for."""

from __future__ import annotations

import re
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from resnexus.errors import ResnexusError, printable, unknown
from resnexus.weights.checkpoint_file import CheckpointFileError

MAX_INFLATION = 4
"""Bytes that a file may unpack to, over its own. `torch.save` does not compress, and weights hardly can be."""

_STATES = ("state_dict", "state_dict_ema", "model", "model_ema", "model_state_dict", "ema", "ema_state_dict")
_ZIP = b"PK\x03\x04"

# What PyTorch says of a file that ends too early.
_CUT_OFF = ("failed finding central directory", "unexpected EOF", "Ran out of input")


def read_torch_state(path: Path, entry: str | None = None) -> dict[str, Tensor]:
    """Return the one state dict in a file that `torch.save` wrote.

    Args:
        path: the file.
        entry: for a file that holds more than one state, the one to read, e.g. `"state_dict_ema"`.

    Raises:
        CheckpointFileError: no such file, damaged, one that unpacks to more than `MAX_INFLATION` times its size, or one
            that cannot be read without running code from it.
        ResnexusError: it holds anything but one state dict, or no `entry`.
    """
    content = _load(path)
    if entry is not None:
        if not isinstance(content, Mapping) or entry not in content:
            raise unknown(f"entry of {printable(path.name)}", entry, _keys(content))
        content = content[entry]
    elif isinstance(content, Mapping) and not _is_state(content):
        states = [name for name in _STATES if name in content and _is_state(content[name])]
        if len(states) > 1:
            raise ResnexusError(
                f"{printable(path)} holds several states: choose one with entry= {' or '.join(map(repr, states))} "
                f"(--entry {states[0]})"
            )
        if not states:
            held = ", ".join(_keys(content)[:12]) or "nothing"
            raise ResnexusError(f"{printable(path)} holds no state dict, but {held}")
        content = content[states[0]]
    if not isinstance(content, Mapping) or not _is_state(content):
        raise ResnexusError(f"{printable(path)} holds {type(content).__name__}, not a state dict of tensors")
    return {str(name): tensor.detach() for name, tensor in content.items()}


def _load(path: Path) -> object:
    try:
        _check_archive(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointFileError(f"cannot read {printable(path)}: {error.strerror or error}") from error
    except CheckpointFileError:
        raise
    except Exception as error:  # a damaged file makes torch raise whatever it comes across
        if isinstance(error, (EOFError, struct.error, zipfile.BadZipFile)) or any(
            sign in str(error) for sign in _CUT_OFF
        ):
            raise CheckpointFileError(f"cannot read {printable(path)}: the file is cut off or damaged") from error
        raise CheckpointFileError(
            f"cannot read {printable(path)} without running code from it: {_reason(error)}. Save a state dict: "
            "torch.save(model.state_dict(), path)"
        ) from error


def _check_archive(path: Path) -> None:
    """Refuse an archive that unpacks to more than its size accounts for."""
    with path.open("rb") as file:
        if file.read(len(_ZIP)) != _ZIP:
            return  # the format before 1.6, which is read as it lies there
        with zipfile.ZipFile(file) as archive:
            unpacked = sum(item.file_size for item in archive.infolist())
    size = path.stat().st_size
    if unpacked > MAX_INFLATION * size:
        raise CheckpointFileError(
            f"{printable(path)} has {size:,} bytes and unpacks to {unpacked:,}: at most {MAX_INFLATION} times its size "
            "is accepted"
        )


def _reason(error: Exception) -> str:
    """Return what PyTorch has against a file, without its advice to run the code in there."""
    told = re.search(r"WeightsUnpickler error:\s*([^\n]+?)(?: was not| Please|\s*$)", str(error), re.MULTILINE)
    reason = told[1] if told else str(error).partition("\n")[0] or type(error).__name__
    return printable(reason.strip().removesuffix("."))


def _keys(content: object) -> list[str]:
    return [printable(key) for key in content] if isinstance(content, Mapping) else []


def _is_state(content: object) -> bool:
    return isinstance(content, Mapping) and bool(content) and all(isinstance(x, Tensor) for x in content.values())
