"""Memory for activations and weights: shared by those that are not alive at the same time, in huge pages."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resnexus.acceleration.native.calls import KernelCall
from resnexus.acceleration.native.layout import Activations, Buffer

_HUGE_PAGE = 2 << 20


@dataclass(frozen=True)
class Memories:
    """Which memory every buffer uses.

    Attributes:
        sizes: floats of each memory.
        of: buffer -> index of its memory.
    """

    sizes: tuple[int, ...]
    of: dict[Buffer, int]


def share(calls: Sequence[KernelCall], images: Activations) -> Memories:
    """Give every buffer a memory; buffers whose lives do not overlap share it if their borders lie alike.

    Args:
        calls: in the order of execution.
        images: what the first call reads, which lives from the beginning to the end.
    """
    last = {value.buffer: index for index, call in enumerate(calls) for value in call.activations()}
    last[images.buffer] = len(calls)
    sizes = [images.buffer.floats]
    memories = {images.buffer: 0}
    free: dict[tuple[int, ...] | None, list[int]] = {}
    for index, call in enumerate(calls):
        alive = list(dict.fromkeys(value.buffer for value in call.activations()))
        for buffer in alive:
            if buffer not in memories:
                memories[buffer] = _memory(buffer, free.setdefault(buffer.border, []), sizes)
        for buffer in alive:
            if last[buffer] == index:
                free.setdefault(buffer.border, []).append(memories[buffer])
    return Memories(tuple(sizes), memories)


def _memory(buffer: Buffer, spare: list[int], sizes: list[int]) -> int:
    """Take the free memory that fits best, and enlarge it if it must be."""
    if not spare:
        sizes.append(buffer.floats)
        return len(sizes) - 1
    best = min(spare, key=lambda memory: (max(0, buffer.floats - sizes[memory]), abs(sizes[memory] - buffer.floats)))
    spare.remove(best)
    sizes[best] = max(sizes[best], buffer.floats)
    return best


def allocate(floats: int) -> NDArray[np.float32]:
    """Return zeroed float32 memory, in huge pages where the system has them: an array that owns it."""
    # Shared memory, which is Python's default, gets no huge pages.
    region = mmap.mmap(-1, 4 * max(floats, 1) + _HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        region.madvise(mmap.MADV_HUGEPAGE)
    array = np.frombuffer(region, np.float32)
    skip = -array.ctypes.data % _HUGE_PAGE // array.itemsize
    return array[skip : skip + floats]
