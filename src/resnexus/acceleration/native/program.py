"""A lowered network in a folder, and the program that runs it in one call."""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from resnexus.acceleration.backends.contract import BackendError
from resnexus.acceleration.native import library
from resnexus.acceleration.native.layers import Layer
from resnexus.acceleration.native.layout import Activations
from resnexus.acceleration.native.memory import Placement, allocate, place
from resnexus.acceleration.native.packing import LANES, Numbers

_LAYERS, _WEIGHTS = "layers.json", "weights.bin"


def write_program(layers: Sequence[Layer], images: Activations, logits: Activations, folder: Path) -> None:
    """Write a lowered network: `layers.json`, and the weights and index lists as 4-byte numbers, `weights.bin`."""
    placement = place(layers, images, logits)
    with (folder / _WEIGHTS).open("wb") as file:
        writer = _Writer(placement, file)
        record = {
            "images": writer.entry(images),
            "logits": writer.entry(logits),
            "classes": logits.channels,
            "memories": placement.sizes,
            "layers": [{"kind": layer.kind, "fields": writer.entries(layer.fields)} for layer in layers],
            "numbers": writer.end,
        }
    (folder / _LAYERS).write_text(json.dumps(record), encoding="utf-8")


class _Writer:
    def __init__(self, placement: Placement, file: Any) -> None:
        self.placement, self.file = placement, file
        self.end = 0
        self.starts: dict[int, int] = {}

    def entries(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self.entry(value) for name, value in fields.items() if value is not None}

    def entry(self, value: Any) -> Any:
        if isinstance(value, Activations):
            sizes = {
                name: getattr(value, name) for name in ("images", "height", "width", "pixel", "row", "image", "block")
            }
            memory = self.placement.memories[value.buffer]
            return {"memory": memory, "start": value.start, "blocks": len(value.cells), **sizes}
        if isinstance(value, np.ndarray):
            return {"numbers": self.start(value)}
        return self.entries(value) if isinstance(value, dict) else value

    def start(self, array: np.ndarray[Any, Any]) -> int:
        """Write an array, once if several layers have the same one, and return where it starts."""
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
        BackendError: the kernels cannot be loaded, or the system has no threads or no memory for them.
    """

    def __init__(self, folder: Path, kernels: Path, threads: int, parts: int = 1) -> None:
        record = json.loads((folder / _LAYERS).read_text(encoding="utf-8"))
        self._library = library.open_library(kernels)
        self._memories = [[allocate(floats) for floats in record["memories"]] for _ in range(parts)]
        self._numbers = allocate(record["numbers"])
        self._numbers[:] = np.memmap(folder / _WEIGHTS, np.float32, mode="r")
        self._images, self._classes = parts * record["images"]["images"], record["classes"]
        self._process = os.getpid()
        self._handle = self._library.program_create(threads, parts)
        if self._handle is None:
            raise BackendError(f"the system has no {threads} threads for the kernels, or no memory for them")
        for part, memories in enumerate(self._memories):
            handle = self._library.program_part(self._handle, part)
            ends = [_tensor(record[name], memories) for name in ("images", "logits")]
            self._library.part_ends(handle, *map(ctypes.byref, ends), self._classes)
            for layer in record["layers"]:
                structure = self._filled(library.STRUCTURES[layer["kind"]](), layer["fields"], memories)
                getattr(self._library, f"add_{layer['kind']}")(handle, ctypes.byref(structure))

    def __call__(self, images: Tensor) -> Tensor:
        """(N, C, H, W) float32, contiguous -> (N, classes).

        Raises:
            MemoryError: there is none for what the kernels compute on the way.
        """
        logits = torch.empty(self._images, self._classes)
        if not self._library.program_run(self._handle, images.data_ptr(), logits.data_ptr()):
            raise MemoryError("the kernels get no memory for what they compute on the way")
        return logits

    def __del__(self) -> None:
        handle = self.__dict__.pop("_handle", None)  # there is none if the library could not be loaded
        if handle is not None and self._process == os.getpid():  # a forked process has no threads to join
            self._library.program_destroy(handle)

    def _filled(
        self, structure: ctypes.Structure, fields: Mapping[str, Any], memories: Sequence[Numbers]
    ) -> ctypes.Structure:
        for name, value in fields.items():
            if isinstance(value, dict) and "memory" in value:
                setattr(structure, name, _tensor(value, memories))
            elif isinstance(value, dict) and "numbers" in value:
                setattr(structure, name, self._numbers.ctypes.data + self._numbers.itemsize * value["numbers"])
            elif isinstance(value, dict):
                self._filled(getattr(structure, name), value, memories)
            else:
                setattr(structure, name, value)
        return structure


def _tensor(entry: Mapping[str, int], memories: Sequence[Numbers]) -> library.Tensor:
    sizes = {name: value for name, value in entry.items() if name not in ("memory", "start")}
    memory = memories[entry["memory"]]
    return library.Tensor(data=memory.ctypes.data + memory.itemsize * entry["start"], **sizes)
