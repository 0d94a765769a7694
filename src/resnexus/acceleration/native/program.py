"""A placed network in a folder, and the program that runs it in one call."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from resnexus.acceleration.backends.contract import BackendError, Output, as_output
from resnexus.acceleration.native import library
from resnexus.acceleration.native.bounds import BoundsError, check_bounds
from resnexus.acceleration.native.calls import KernelCall, KernelCalls
from resnexus.acceleration.native.layout import Activations
from resnexus.acceleration.native.memory import Memories, allocate, share
from resnexus.acceleration.native.packing import LANES, Numbers
from resnexus.acceleration.native.record import CallRecord, NativeProgramRecord, TensorRecord
from resnexus.records import RecordError, read_json, write_json

_CALLS, _WEIGHTS = "calls.json", "weights.bin"


def write_program(calls: KernelCalls, images: Activations, folder: Path) -> None:
    """Write a placed network: `calls.json`, and the weights and index lists as 4-byte numbers, `weights.bin`."""
    memories = share(calls.calls, images)
    with (folder / _WEIGHTS).open("wb") as file:
        writer = _Writer(memories, file)
        records = tuple(writer.call(call) for call in calls.calls)
    record = NativeProgramRecord(
        images=writer.tensor(images),
        outputs=tuple(shape for _, shape in sorted(calls.outputs.items())),
        memories=memories.sizes,
        numbers=writer.end,
        calls=records,
    )
    write_json(record, folder / _CALLS)


class _Writer:
    def __init__(self, memories: Memories, file: Any) -> None:
        self.memories, self.file = memories, file
        self.end = 0
        self.starts: dict[int, int] = {}

    def call(self, call: KernelCall) -> CallRecord:
        tensors: dict[str, TensorRecord] = {}
        numbers: dict[str, int] = {}
        sizes: dict[str, int] = {}
        epilogue: Mapping[str, Any] = call.fields.get("epilogue", {})
        plain = {name: value for name, value in call.fields.items() if name != "epilogue"}
        for name, value in (plain | {f"epilogue.{name}": value for name, value in epilogue.items()}).items():
            if isinstance(value, Activations):
                tensors[name] = self.tensor(value)
            elif isinstance(value, np.ndarray):
                numbers[name] = self.start(value)
            elif value is not None:
                sizes[name] = int(value)
        return CallRecord(kind=call.kind, tensors=tensors, numbers=numbers, sizes=sizes)

    def tensor(self, found: Activations) -> TensorRecord:
        return TensorRecord.of(found, self.memories.of[found.buffer])

    def start(self, array: Numbers) -> int:
        """Write an array, once if several calls have the same one, and return where it starts."""
        if id(array) not in self.starts:
            self.starts[id(array)] = self.end
            padded = np.zeros(-(-array.size // LANES) * LANES, array.dtype)  # every array starts at a vector
            padded[: array.size] = array.reshape(-1)
            padded.tofile(self.file)
            self.end += padded.size
        return self.starts[id(array)]


@final
class Program:
    """Runs a network that `write_program` wrote; not for several threads at once.

    Args:
        folder: where it was written.
        kernels: the compiled library.
        threads: that the kernels use.
        parts: how many batches of the size that was written make up one that is run: 1, which all threads share, or
            as many as there are threads, which take one each.

    Raises:
        BackendError: the files are damaged, the kernels cannot be loaded, or the system has no threads or no memory
            for them.
    """

    def __init__(self, folder: Path, kernels: Path, threads: int, parts: int = 1) -> None:
        record, numbers = _read(folder)
        self._library = library.open_library(kernels)
        self._memories = [[allocate(floats) for floats in record.memories] for _ in range(parts)]
        self._numbers = allocate(record.numbers)
        self._numbers[:] = numbers
        self._shapes = [(parts * record.images.images, *shape) for shape in record.outputs]
        self._process = os.getpid()
        self._handle = self._library.program_create(threads, parts)
        if self._handle is None:
            raise BackendError(f"the system has no {threads} threads for the kernels, or no memory for them")
        floats = (ctypes.c_int64 * len(record.outputs))(*map(prod, record.outputs))
        for part, memories in enumerate(self._memories):
            handle = self._library.program_part(self._handle, part)
            self._library.part_ends(handle, ctypes.byref(_tensor(record.images, memories)), floats, len(floats))
            for call in record.calls:
                structure = self._structure(call, memories)
                getattr(self._library, f"add_{call.kind}")(handle, ctypes.byref(structure))

    def __call__(self, images: Tensor) -> Output:
        """(N, C, H, W) float32, contiguous -> (N, classes), or the list of feature maps.

        Raises:
            MemoryError: there is none for what the kernels compute on the way.
        """
        outputs = [torch.empty(shape) for shape in self._shapes]
        addresses = (ctypes.c_void_p * len(outputs))(*(output.data_ptr() for output in outputs))
        if not self._library.program_run(self._handle, images.data_ptr(), addresses):
            raise MemoryError("the kernels get no memory for what they compute on the way")
        return as_output(outputs)

    def __del__(self) -> None:
        handle = self.__dict__.pop("_handle", None)  # there is none if the library could not be loaded
        if handle is not None and self._process == os.getpid():  # a forked process has no threads to join
            self._library.program_destroy(handle)

    def _structure(self, call: CallRecord, memories: Sequence[Numbers]) -> ctypes.Structure:
        structure = library.STRUCTURES[call.kind]()
        values: dict[str, Any] = {name: _tensor(tensor, memories) for name, tensor in call.tensors.items()}
        start, size = self._numbers.ctypes.data, self._numbers.itemsize
        values |= {name: start + size * first for name, first in call.numbers.items()}
        for name, value in (values | call.sizes).items():
            part, _, field = name.rpartition(".")
            setattr(getattr(structure, part) if part else structure, field, value)
        return structure


def _read(folder: Path) -> tuple[NativeProgramRecord, Numbers]:
    try:
        record = read_json(NativeProgramRecord, folder / _CALLS)
        numbers: Numbers = np.memmap(folder / _WEIGHTS, np.float32, mode="r")
        check_bounds(record, numbers)
    except (RecordError, BoundsError, OSError, ValueError) as error:
        raise BackendError(f"the built network in {folder} is damaged: {error}") from error
    return record, numbers


def _tensor(entry: TensorRecord, memories: Sequence[Numbers]) -> library.Tensor:
    memory = memories[entry.memory]
    names = ("blocks", "images", "height", "width", "pixel", "row", "image", "block")
    sizes = {name: getattr(entry, name) for name in names}
    return library.Tensor(data=memory.ctypes.data + memory.itemsize * entry.start, **sizes)
