"""A network's steps, each with the way that does it: a function from images to outputs, to be called or captured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from resnexus.acceleration.backends.contract import BackendError
from resnexus.acceleration.cuda.steps import Place, ProgramRecord
from resnexus.acceleration.cuda.ways import Operands, Way, Weights, lies_in


class Memory:
    """Where values come from and go to: PyTorch's allocator.

    While a graph is captured it takes them from the graph's own pool, and gives a new value the memory of dead ones: so
    the values of a graph lie in fixed places, which those share that are not alive at the same time. A subclass may
    look at what comes and goes.
    """

    def take(self, shape: Sequence[int], like: Tensor) -> Tensor:
        """Return memory for a value (N, C, H, W), channels last, in the dtype and on the device of another."""
        return torch.empty(tuple(shape), dtype=like.dtype, device=like.device, memory_format=torch.channels_last)

    def dead(self, value: Tensor) -> None:
        """Take note that no step reads or writes a value any more."""


@final
class Program:
    """Runs a network step by step.

    Args:
        record: the steps.
        weights: on the device.
        ways: for every step, the way that does it and the setting of its kernel.
        memory: where values come from.

    Raises:
        BackendError: not as many ways as steps.
    """

    def __init__(
        self,
        record: ProgramRecord,
        weights: Weights,
        ways: Sequence[tuple[Way, object]],
        memory: Memory | None = None,
    ) -> None:
        if len(ways) != len(record.steps):
            raise BackendError(f"{len(ways)} ways for {len(record.steps)} steps")
        self.record, self.weights, self.memory = record, weights, memory or Memory()
        self._schedule = tuple(zip(record.steps, ways, record.deaths(), strict=True))

    def __call__(self, images: Tensor) -> list[Tensor]:
        """Compute the outputs.

        Args:
            images: (N, C, H, W), channels last, in the dtype of the weights, on their device.

        Returns:
            Logits (N, classes), or the feature maps, channels last, in the dtype of the weights.
        """
        values = _Values(self.record, self.memory, images)
        with torch.no_grad():
            for step, (way, settings), dead in self._schedule:
                values.put(way.run(Operands(step, values.read, values.room, self.weights, settings)), step.out)
                values.end(dead)
        return [values.output(value) for value in self.record.outputs]


@final
class _Values:
    """What is alive while a program runs."""

    def __init__(self, record: ProgramRecord, memory: Memory, images: Tensor) -> None:
        self.record, self.memory, self.images = record, memory, images
        self._found: dict[int, Tensor] = {0: images}

    def read(self, place: Place) -> Tensor:
        """Return the channels of a value that is there."""
        return _channels(self._found[place.value], place)

    def room(self, place: Place) -> Tensor:
        """Return memory for the channels of a value, which is made if it is not there."""
        if place.value not in self._found:
            batch, _, height, width = self.images.shape
            shape = self.record.values[place.value].shape(batch, (height, width))
            self._found[place.value] = self.memory.take(shape, self.images)
        return self.read(place)

    def put(self, result: Tensor, place: Place) -> None:
        """Let a result that a library returned in memory of its own be the value, or copy it to its channels."""
        value = self._found.get(place.value)
        if value is None and place.channels == self.record.values[place.value].channels:
            # A library may take an image of one channel for one that is not channels last.
            self._found[place.value] = result.contiguous(memory_format=torch.channels_last)
        elif value is None or not lies_in(result, value):
            self.room(place).copy_(result)

    def end(self, dead: Sequence[int]) -> None:
        """Forget values, so that their memory is free."""
        for value in dead:
            self.memory.dead(self._found.pop(value))

    def output(self, value: int) -> Tensor:
        """Return a value as the network does."""
        found = self._found[value]
        return found[:, :, 0, 0] if self.record.values[value].reduction is None else found


def _channels(value: Tensor, place: Place) -> Tensor:
    return value if place.channels == value.shape[1] else value.narrow(1, place.first, place.channels)
