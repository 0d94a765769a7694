"""What a device is called: one rule for every command and function, and the word that records keep."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from resnexus.errors import ResnexusError, unknown

if TYPE_CHECKING:
    import torch

AUTO, CPU, GPU = "auto", "cpu", "cuda"

NAMES = (AUTO, CPU, "gpu", GPU, "cuda:0")
"""What is accepted, `cuda:0` for a GPU by its number."""


def device_word(name: str | torch.device) -> str:
    """Return the word that records keep for a device: `"cpu"`, `"cuda"` or `"cuda:1"`.

    Whether a GPU is there is not asked: a record may be of another machine.

    Args:
        name: `"cpu"`; `"gpu"` or `"cuda"`, the current GPU, which is the first unless somebody chose another;
            `"cuda:1"`, a GPU by its number; or `"auto"`, the current GPU if PyTorch sees one here, and else the CPU.

    Raises:
        ResnexusError: another name.
    """
    if str(name) == AUTO:
        return GPU if _sees_gpu() else CPU
    if str(name) in (CPU, GPU):
        return str(name)
    if str(name) == "gpu":
        return GPU
    if numbered := re.fullmatch(r"cuda:([0-9]{1,3})", str(name)):
        return f"{GPU}:{int(numbered[1])}"
    raise unknown("device", str(name), NAMES)


def device_kind(name: str) -> str:
    """Return `"cpu"` or `"cuda"`, for what runs on the current GPU.

    Args:
        name: as for `device_word`, without a number.

    Raises:
        ResnexusError: another name, or a GPU by its number.
    """
    kind, numbered, number = device_word(name).partition(":")
    if numbered:
        raise ResnexusError(
            f"device {name!r}: expected no number, since this runs on the current GPU; CUDA_VISIBLE_DEVICES={number} "
            "makes it that one, then use device 'cuda'"
        )
    return kind


def present_device(name: str | torch.device) -> str:
    """Return the word of a device that is there.

    Args:
        name: as for `device_word`.

    Raises:
        ResnexusError: another name, or PyTorch does not see that GPU here.
    """
    word = device_word(name)
    if word == CPU:
        return word
    if not _sees_gpu():
        raise ResnexusError(f"device {str(name)!r}: PyTorch sees no GPU here; use device 'cpu'")
    _, numbered, number = word.partition(":")
    if numbered:
        import torch

        last = torch.cuda.device_count() - 1
        if int(number) > last:
            raise ResnexusError(f"device {str(name)!r}: the last GPU that PyTorch sees here is 'cuda:{last}'")
    return word


def device_named(name: str | torch.device) -> torch.device:
    """Return PyTorch's device of a name, which is there; a device of PyTorch's that is no GPU as it is.

    Args:
        name: as for `device_word`.

    Raises:
        ResnexusError: as for `present_device`.
    """
    import torch

    if isinstance(name, torch.device) and name.type != GPU:
        return name
    return torch.device(present_device(name))


def _sees_gpu() -> bool:
    import torch

    return torch.cuda.is_available()
