"""Whether a record stays inside its memories and numbers: the kernels do not look.

A record that was damaged on disk is an error here, not a crash there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import product
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from resnexus.acceleration.native.packing import LANES, PANEL
from resnexus.acceleration.native.record import CallRecord, NativeProgramRecord, TensorRecord
from resnexus.errors import ResnexusError

_LARGEST = 2**31 - 1
_WINOGRAD_TILE, _WINOGRAD_POSITIONS, _STRASSEN_PRODUCTS = 4, 36, 7


class BoundsError(ResnexusError):
    """A call of a kernel that would read or write where it must not; names what is wrong with it."""


def check_bounds(record: NativeProgramRecord, numbers: NDArray[Any]) -> None:
    """Check every call of a program.

    Args:
        record: of the program.
        numbers: its weights and index lists, 4 bytes each.

    Raises:
        BoundsError: something lies outside, or two sizes that belong together differ.
    """
    _expect(len(numbers) == record.numbers, f"{record.numbers} numbers, found {len(numbers)}")
    _expect(all(0 < floats <= _LARGEST for floats in record.memories), "memories of at least one number")
    _inside(record.images, record.memories)
    _expect(record.images.pixel == 1, "images of one channel per block")
    for shape in record.outputs:
        right = len(shape) in (1, 3) and all(0 < size <= _LARGEST for size in shape)
        _expect(right, f"outputs of (classes,) or (channels, height, width), found {shape}")
    for index, call in enumerate(record.calls):
        try:
            _Call(call, record, numbers).check()
        except BoundsError as error:
            raise BoundsError(f"call {index}, {call.kind}: {error}") from None
    written = Counter(image for call in record.calls if call.kind == "write" for image in _written(call))
    everything = product(range(len(record.outputs)), range(record.images.images))
    _expect(written == Counter(everything), "every image written once to every output")


def _written(call: CallRecord) -> Iterator[tuple[int, int]]:
    """Yield the number of the output and that of the image, for every image that a call writes."""
    first = call.sizes["first"]
    for image in range(first, first + call.tensors["in_"].images):
        yield call.sizes["output"], image


def _expect(condition: bool, what: str) -> None:
    if not condition:
        raise BoundsError(f"expected {what}")


def _inside(tensor: TensorRecord, memories: tuple[int, ...]) -> None:
    """Check that every pixel lies in the memory."""
    counts = (tensor.blocks, tensor.images, tensor.height, tensor.width)
    strides = (tensor.block, tensor.image, tensor.row, tensor.pixel)
    _expect(all(0 < value <= _LARGEST for value in counts), "sizes of at least 1")
    _expect(all(0 <= value <= _LARGEST for value in strides), "strides of at least 0")
    _expect(0 <= tensor.memory < len(memories), f"one of {len(memories)} memories, found {tensor.memory}")
    last = sum((count - 1) * stride for count, stride in zip(counts, strides, strict=True))
    lanes = 1 if tensor.pixel == 1 else LANES
    _reach(tensor, 0, last + lanes - 1, memories)


def _reach(tensor: TensorRecord, first: int, last: int, memories: tuple[int, ...]) -> None:
    """Check that offsets from the first pixel lie in the memory."""
    _expect(
        tensor.start + first >= 0 and tensor.start + last < memories[tensor.memory],
        f"activations inside their memory of {memories[tensor.memory]} numbers",
    )


@final
class _Call:
    def __init__(self, call: CallRecord, record: NativeProgramRecord, numbers: NDArray[Any]) -> None:
        self.call, self.record, self.memories, self.numbers = call, record, record.memories, numbers
        for tensor in call.tensors.values():
            _inside(tensor, self.memories)

    def check(self) -> None:
        """Check the call, by its kind."""
        match self.call.kind:
            case "convolution":
                self._convolution()
            case "winograd":
                self._winograd()
            case "strassen":
                self._strassen()
            case "grouped":
                self._grouped()
            case "pool":
                self._pool()
            case "mean":
                self._names(("in_", "out"), (), ())
                self._alike("in_", "out", "blocks", "images")
            case "gated":
                self._names(("in_", "gate", "residual", "out"), (), ())
                self._alike("in_", "out", "blocks", "images", "height", "width")
                self._alike("residual", "out", "blocks", "images", "height", "width")
                self._alike("gate", "out", "blocks", "images")
                self._gate("gate")
            case "write":
                self._write()

    def _names(self, tensors: tuple[str, ...], numbers: tuple[str, ...], sizes: tuple[str, ...]) -> None:
        """Check that the call has these fields and no others."""
        for kind, wanted in (("tensors", tensors), ("numbers", numbers), ("sizes", sizes)):
            found = set(getattr(self.call, kind))
            _expect(
                found == set(wanted), f"{kind} {', '.join(wanted) or 'of no name'}, found {', '.join(sorted(found))}"
            )

    def _alike(self, one: str, other: str, *sizes: str) -> None:
        first, second = self.call.tensors[one], self.call.tensors[other]
        for name in sizes:
            same = getattr(first, name) == getattr(second, name)
            _expect(same, f"{one} and {other} of the same {name}")

    def _gate(self, name: str) -> None:
        gate = self.call.tensors[name]
        _expect(gate.pixel == gate.row == 0, "one number per image and channel in a gate")

    def _size(self, name: str, *accepted: int) -> int:
        value = self.call.sizes[name]
        _expect(value in accepted if accepted else 0 < value <= _LARGEST, f"a possible {name}, found {value}")
        return value

    def _numbers(self, name: str, count: int) -> NDArray[Any]:
        start = self.call.numbers[name]
        _expect(start >= 0 and start + count <= len(self.numbers), f"{name} inside the {len(self.numbers)} numbers")
        return self.numbers[start : start + count]

    def _integers(self, name: str, count: int) -> NDArray[np.int32]:
        return self._numbers(name, count).view(np.int32)

    def _product(self, numbers: tuple[str, ...], sizes: tuple[str, ...]) -> tuple[TensorRecord, TensorRecord]:
        """Check the epilogue and the names of all fields; return where the call reads and writes."""
        optional = ("epilogue.residual", "epilogue.gate", "epilogue.onward")
        there = tuple(name for name in optional if name in self.call.tensors)
        bias = tuple(name for name in ("epilogue.bias",) if name in self.call.numbers)
        self._names(("in_", "epilogue.out", *there), (*numbers, *bias), (*sizes, "epilogue.activation"))
        self._size("epilogue.activation", 0, 1, 2)
        out = self.call.tensors["epilogue.out"]
        self._alike("in_", "epilogue.out", "images")
        for name in there:
            size = () if name == "epilogue.gate" else ("height", "width")
            self._alike(name, "epilogue.out", "blocks", "images", *size)
        if "epilogue.gate" in there:
            self._gate("epilogue.gate")
        if bias:
            self._numbers("epilogue.bias", LANES * out.blocks)
        return self.call.tensors["in_"], out

    def _window(self, x: TensorRecord, out: TensorRecord, stride: int, first: int, last: int) -> None:
        """Check that offsets `first` to `last` from every pixel under a stride lie in the memory of `x`."""
        far = (x.images - 1) * x.image + (out.height - 1) * stride * x.row + (out.width - 1) * stride * x.pixel
        _reach(x, first, far + last, self.memories)

    def _convolution(self) -> None:
        sizes = ("stride", "depth", "panels", "panels_per_group", "group_offset")
        x, out = self._product(("offsets", "weights"), sizes)
        stride, depth, panels = self._size("stride", 1, 2), self._size("depth"), self._size("panels")
        per_group, group_offset = self._size("panels_per_group"), self.call.sizes["group_offset"]
        _expect(x.pixel in (1, LANES), f"pixels of 1 or {LANES} channels")
        _expect(panels == -(-out.blocks * LANES // PANEL), "as many panels as the result has")
        _expect(0 <= group_offset <= _LARGEST, "an offset of a group of at least 0")
        offsets = self._integers("offsets", depth)
        self._numbers("weights", panels * depth * PANEL)
        farthest = (panels - 1) // per_group * group_offset
        self._window(x, out, stride, int(offsets.min()), int(offsets.max()) + farthest)

    def _winograd(self) -> None:
        x, out = self._product(("channels", "weights"), ("depth", "panels"))
        depth, panels = self._size("depth"), self._size("panels")
        _expect(x.pixel == LANES, f"pixels of {LANES} channels")
        _expect(panels == -(-out.blocks * LANES // PANEL), "as many panels as the result has")
        self._channels(depth, x.blocks)
        self._numbers("weights", panels * _WINOGRAD_POSITIONS * depth * PANEL)
        down, right = (-(-size // _WINOGRAD_TILE) * _WINOGRAD_TILE for size in (out.height, out.width))
        last = (x.blocks - 1) * x.block + (x.images - 1) * x.image + down * x.row + (right + 1) * x.pixel - 1
        _reach(x, -x.row - x.pixel, last, self.memories)

    def _strassen(self) -> None:
        x, out = self._product(("channels", "weights"), ("depth",))
        depth = self._size("depth")
        self._alike("in_", "epilogue.out", "height", "width")
        bare = x.pixel == LANES and x.row == x.width * LANES and (x.images == 1 or x.image == x.height * x.row)
        _expect(bare, "pixels without a gap")
        _expect(x.blocks % 2 == 0 and out.blocks % 4 == 0, "blocks that can be halved")
        self._channels(depth, x.blocks // 2)
        self._numbers("weights", out.blocks // 4 * _STRASSEN_PRODUCTS * depth * PANEL)

    def _channels(self, depth: int, blocks: int) -> None:
        channels = self._integers("channels", depth)
        _expect(channels.min() >= 0 and channels.max() < LANES * blocks, "channels of the blocks that are there")

    def _grouped(self) -> None:
        x, out = self._product(("weights",), ("stride", "width"))
        stride, width = self._size("stride", 1, 2), self._size("width", 4, 8, LANES)
        _expect(x.pixel == LANES, f"pixels of {LANES} channels")
        self._alike("in_", "epilogue.out", "blocks")
        self._numbers("weights", out.blocks * 9 * width * LANES)
        last = (x.blocks - 1) * x.block + x.row + x.pixel + LANES - 1
        self._window(x, out, stride, -x.row - x.pixel, last)

    def _write(self) -> None:
        self._names(("in_",), (), ("output", "first", "channels"))
        x, first = self.call.tensors["in_"], self.call.sizes["first"]
        channels, *size = self.record.outputs[self._size("output", *range(len(self.record.outputs)))]
        self._size("channels", channels)
        _expect(0 <= channels - LANES * (x.blocks - 1) <= LANES, "as many channels as the output has")
        _expect([x.height, x.width] == (size or [1, 1]), "pixels as the output has them")
        _expect(0 <= first <= self.record.images.images - x.images, "images of the batch")

    def _pool(self) -> None:
        self._names(("in_", "out"), (), ("kernel", "stride", "padding", "maximum", "counts_padding"))
        self._alike("in_", "out", "blocks", "images")
        x, out = self.call.tensors["in_"], self.call.tensors["out"]
        kernel, stride, padding = self._size("kernel"), self._size("stride"), self.call.sizes["padding"]
        self._size("maximum", 0, 1)
        self._size("counts_padding", 0, 1)
        _expect(0 <= padding < kernel, "a padding smaller than the window")
        for size, result in ((x.height, out.height), (x.width, out.width)):
            _expect((result - 1) * stride - padding < size, "windows that reach the image")
