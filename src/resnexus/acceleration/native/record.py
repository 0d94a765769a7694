"""A placed network on disk: which kernel is called with what."""

from __future__ import annotations

from dataclasses import dataclass, fields

from resnexus.acceleration.native.calls import Kind
from resnexus.acceleration.native.layout import Activations


@dataclass(frozen=True, kw_only=True)
class TensorRecord:
    """Activations in a memory; strides in floats.

    Attributes:
        memory: index of the memory.
        start: floats from its beginning to block 0, image 0, row 0, column 0.
        blocks: of channels.
        images: batch size.
        height: rows.
        width: columns.
        pixel: stride of a column.
        row: stride of a row.
        image: stride of an image.
        block: stride of a block of channels.
    """

    memory: int
    start: int
    blocks: int
    images: int
    height: int
    width: int
    pixel: int
    row: int
    image: int
    block: int

    @classmethod
    def of(cls, found: Activations, memory: int) -> TensorRecord:
        """Describe activations."""
        sizes = {item.name: getattr(found, item.name) for item in fields(cls) if hasattr(found, item.name)}
        return cls(memory=memory, blocks=len(found.cells), **sizes)


@dataclass(frozen=True, kw_only=True)
class CallRecord:
    """One call of a kernel: the fields of its structure by name, those of its epilogue with `"epilogue."` before.

    Attributes:
        kind: which kernel.
        tensors: activations.
        numbers: where weights and index lists start among the numbers.
        sizes: whole numbers.
    """

    kind: Kind
    tensors: dict[str, TensorRecord]
    numbers: dict[str, int]
    sizes: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class NativeProgramRecord:
    """A placed network.

    Attributes:
        images: what the first call reads.
        outputs: the shape that an image has in each output: (classes,) of logits, (channels, height, width) of a map.
        memories: floats of each memory.
        numbers: how many 4-byte numbers weights and index lists are.
        calls: in the order of execution.
    """

    images: TensorRecord
    outputs: tuple[tuple[int, ...], ...]
    memories: tuple[int, ...]
    numbers: int
    calls: tuple[CallRecord, ...]
