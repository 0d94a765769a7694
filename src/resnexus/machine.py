"""The processor of this machine, and how much of it this process may use."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path

from resnexus.errors import ResnexusError

_NUMBERS = {"family": "cpu family", "model": "model"}  # what to call them: their names in /proc/cpuinfo


@cache
def processor() -> str:
    """Return the name of the processor and its vector instructions, as far as the system tells them."""
    vectors = [flag for flag in instructions() if flag.startswith(("avx", "amx"))]
    return " ".join([processor_name(), *sorted(vectors)])


def instructions() -> frozenset[str]:
    """Return the instruction sets of the processor as Linux calls them, e.g. `"avx2"`; none on other systems."""
    return frozenset(_cpuinfo().get("flags", "").split())


def processor_name() -> str:
    """Return the name of the processor, or at least its kind, and on x86 its family and model.

    Virtual machines often leave the generation out of the name.
    """
    info = _cpuinfo()
    name = info.get("model name") or platform.processor() or platform.machine()
    numbers = (f"{title} {info[field]}" for title, field in _NUMBERS.items() if field in info)
    return ", ".join([name, *numbers])


@cache
def _cpuinfo() -> dict[str, str]:
    """Return what Linux says of the first processor; nothing on other systems."""
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return {}
    fields: dict[str, str] = {}
    for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
        key, colon, value = line.partition(":")
        if colon:
            fields.setdefault(key.strip(), value.strip())
    return fields


def usable_cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_threads(threads: int | None) -> int:
    """Return the threads to use: as many as PyTorch uses now, at most the usable cores, if None.

    Raises:
        ResnexusError: not a whole number from 1 to the usable cores.
    """
    import torch  # only here: the name of the processor needs nothing

    cores = usable_cores()
    if threads is None:
        return min(torch.get_num_threads(), cores)
    if isinstance(threads, bool) or not isinstance(threads, int) or not 1 <= threads <= cores:
        raise ResnexusError(f"threads={threads!r}: expected a whole number from 1 to the {cores} usable cores")
    return threads
