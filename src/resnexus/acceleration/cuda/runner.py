"""A network that is ready on its device: weights once, a graph for every batch size that was opened."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from resnexus.acceleration.backends.contract import DTYPES, Job, Output, as_output
from resnexus.acceleration.cuda.files import read_weights
from resnexus.acceleration.cuda.graphs import CudaGraphs, Graphs, StandIn
from resnexus.acceleration.cuda.normaliser import Normaliser
from resnexus.acceleration.cuda.program import Program
from resnexus.acceleration.cuda.steps import ProgramRecord
from resnexus.acceleration.cuda.ways import Way, Weights

if TYPE_CHECKING:
    from resnexus.data.preprocess import Preprocess

ALLOWANCE = 1.5
"""Memory of a graph over that of its values: what the libraries need besides, and what is left between blocks."""


@final
class Resident:
    """The weights of one built network on one device, and the graphs that use them.

    Attributes:
        weights: of the network.
        graphs: capture its calls.
    """

    def __init__(self, weights: Weights, graphs: Graphs) -> None:
        self.weights, self.graphs = weights, graphs

    @property
    def bytes(self) -> int:
        """What weights and values take on the device."""
        return self.weights.bytes + self.graphs.bytes


_lock = threading.Lock()
_residents: weakref.WeakValueDictionary[tuple[str, str, str], Resident] = weakref.WeakValueDictionary()


def resident(record: ProgramRecord, folder: Path, job: Job) -> Resident:
    """Return what is on the device already of a built network, or put it there.

    All engines of a process that were built alike share it, and take turns.

    Raises:
        BackendError: the weights are damaged.
    """
    device = place(job)
    key = (record.weights, job.precision, str(device))
    with _lock:
        found = _residents.get(key)
        if found is None:
            weights = read_weights(record, folder, DTYPES[job.precision], device)
            found = Resident(weights, CudaGraphs(device) if device.type == "cuda" else StandIn())
            _residents[key] = found
        return found


def place(job: Job) -> torch.device:
    """Return where a job runs: on the current GPU, or the CPU."""
    return torch.device("cuda", torch.cuda.current_device()) if job.device == "cuda" else torch.device(job.device)


@final
class GraphRunner:
    """Runs one batch size: images are copied to where the graph reads, and results to memory of the caller's own.

    Images may be on the CPU or on the device, in any floating point and layout; results are where the images are. From
    a GPU's images nothing is waited for: results are ready for what the caller queues next on the same stream.

    Args:
        record: the steps.
        ways: for every step, the way that does it and the setting of its kernel.
        job: what it is for.
        there: the network on its device.
        pixels: how images that come as bytes are normalised, in the graph; None where they come prepared.
    """

    def __init__(
        self,
        record: ProgramRecord,
        ways: Sequence[tuple[Way, object]],
        job: Job,
        there: Resident,
        pixels: Preprocess | None = None,
    ) -> None:
        self.record, self.ways, self.job, self.there = record, ways, job, there
        # Tensors like any other, whatever mode the caller is in: they are written to in every call.
        with torch.inference_mode(False), torch.no_grad():
            self._images, enter = _entrance(self, pixels)
            program = Program(record, there.weights, ways)
            self._captured = there.graphs.capture(lambda: program(enter()))

    def of_pixels(self, preprocess: Preprocess) -> GraphRunner:
        """Return the same for images as bytes, (N, H, W, C) uint8."""
        return GraphRunner(self.record, self.ways, self.job, self.there, preprocess)

    def __call__(self, images: Tensor) -> Output:
        """(N, C, H, W), or bytes (N, H, W, C) -> (N, classes) float32, or feature maps, contiguous float32."""
        captured = self._captured
        results = [torch.empty(out.shape, dtype=torch.float32, device=images.device) for out in captured.outputs]
        with self.there.graphs.turn(), torch.no_grad():
            self._images.copy_(images)
            captured.replay()
            for result, output in zip(results, captured.outputs, strict=True):
                result.copy_(output)
        return as_output(results)

    @property
    def bytes(self) -> int:
        """What the network takes on the device, with all batch sizes that are open."""
        return self.there.bytes


def _entrance(runner: GraphRunner, pixels: Preprocess | None) -> tuple[Tensor, Callable[[], Tensor]]:
    """Return where a graph reads images, and what makes of them what its first step reads."""
    example, job = next(iter(runner.there.weights.tensors.values())), runner.job
    if pixels is None:
        images = torch.zeros(job.shape, dtype=example.dtype, device=example.device)
        images = images.contiguous(memory_format=torch.channels_last)
        return images, lambda: images
    shape = (job.batch_size, *job.image_size, job.in_chans)
    found = torch.zeros(shape, dtype=torch.uint8, device=example.device)
    normaliser = Normaliser(pixels, example, ours=any(way.ours for way, _ in runner.ways))
    return found, partial(normaliser, found)


def needed_bytes(record: ProgramRecord, job: Job) -> int:
    """Return about how many bytes of the device a graph takes, with what the libraries need besides."""
    size = torch.empty(0, dtype=DTYPES[job.precision]).element_size()
    return int(ALLOWANCE * size * record.peak(job.batch_size, job.image_size)) + size * prod(job.shape)
