"""From a program to calls of the kernels: where its values lie, and how many images run together."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
from torch import Tensor

from resnexus.acceleration.backends.contract import BackendError, Job
from resnexus.acceleration.lowering.operations import (
    Conv,
    Gated,
    Lowered,
    Mean,
    Move,
    Operation,
    Pool,
    Section,
    Value,
    View,
)
from resnexus.acceleration.native.calls import Epilogue, KernelCalls
from resnexus.acceleration.native.layout import Activations, blocked, cells_of, planes
from resnexus.acceleration.native.packing import Numbers

# What leaves a stage for the images of one pass: the output of stage 1 for one image of 224x224. Larger passes would
# drive the activations out of the caches.
_PASS_BYTES = 13 << 17

Places = dict[Value, Activations]


def place(program: Lowered, job: Job, calls: KernelCalls) -> Activations:
    """Add the calls that compute a program.

    Stem and stages run in passes of a few images where activations are large. The parts of a value lie in blocks of
    their own, and a convolution with an addend reads what the one before has added to already. A dilated layer is
    several that are not, each on the pixels that are so far apart: a convolution on a copy of them, a pool where they
    lie.

    Args:
        program: with weights in float32, on the CPU.
        job: what it is for.
        calls: where to add them.

    Returns:
        The images that the first call reads, one channel per block.

    Raises:
        BackendError: a convolution without a kernel.
    """
    placing = _Placing(program, job, calls)
    features = placing.gathered(len(program.body) - 1, 0, job.batch_size)
    if program.has_head:
        head = program.sections[-1]
        placing.run(head, {head.source: features}, 0, job.batch_size)
    return placing.images


def passes(program: Lowered, job: Job) -> list[int]:
    """Return for the stem and every stage how many images run through it together; the stem goes with stage 0."""
    stem, *stages = program.body
    found = []
    for section in stages or [stem]:
        height, width = section.result.size(job.image_size)
        found.append(min(job.batch_size, max(1, _PASS_BYTES // (4 * section.result.channels * height * width))))
    return [found[0], *found] if stages else found


class _Placing:
    def __init__(self, program: Lowered, job: Job, calls: KernelCalls) -> None:
        self.sections, self.calls, self.image_size = program.sections, calls, job.image_size
        self.outputs = {value: number for number, value in enumerate(program.outputs)}
        self.together = dict(zip(program.body, passes(program, job), strict=True))
        if program.has_head:
            self.together[program.sections[-1]] = job.batch_size
        convs = [operation for operation in program.operations() if isinstance(operation, Conv)]
        self.padding: dict[Value, int] = {}
        for conv in convs:
            if conv.dilation > 1:
                continue  # it reads copies, which have borders of their own
            self.padding[conv.x.value] = max(self.padding.get(conv.x.value, 0), conv.padding)
        # Where the result of a convolution is added to what the next one reads.
        self.onward = {conv.addend: conv.x for conv in convs if conv.addend is not None}
        padding = self.padding[program.images]
        self.images = planes(program.images.channels, job.batch_size, *job.image_size, padding)

    def gathered(self, section: int, first: int, count: int) -> Activations:
        """Return what leaves a section, for some images, in as many passes as it takes."""
        together = min(self.together[self.sections[section]], count)
        if together == count:
            return self._pass(section, first, count, count, None)
        whole: Activations | None = None
        for start in range(0, count, together):
            size = min(together, count - start)
            out = None if whole is None else whole.some(start, size)
            found = self._pass(section, first + start, size, count, out)
            whole = found.some(0, count) if whole is None else whole
        if whole is None:
            raise ValueError(f"count={count}: expected at least one image")
        return whole

    def _pass(self, index: int, first: int, count: int, of: int, out: Activations | None) -> Activations:
        section = self.sections[index]
        source = self.images.some(first, count) if index == 0 else self.gathered(index - 1, first, count)
        places = {section.source: source}
        if out is not None:
            places[section.result] = out
        return self.run(section, places, first, of)

    def run(self, section: Section, places: Places, first: int, of: int) -> Activations:
        """Add the calls of one section.

        Args:
            section: which.
            places: where what it reads lies, and perhaps where its result goes.
            first: which image of the batch is the first of them.
            of: images of its result if that gets a new place, of which these are the first.
        """
        images = places[section.source].images
        for operation in section.operations:
            value = operation.out.value
            if value not in places:
                room = of if value is section.result else images
                places[value] = self._new(value, room).some(0, images)
            self._call(operation, places, self.together[section])
            if value in self.outputs:
                self._write(value, places[value], first)
        return places[section.result]

    def _write(self, value: Value, found: Activations, first: int) -> None:
        size = () if value.reduction is None else value.size(self.image_size)
        self.calls.write(found, self.outputs[value], (value.channels, *size), first=first)

    def _new(self, value: Value, images: int) -> Activations:
        cells = [count for part in value.parts for count in cells_of(part)]
        padding = self.padding.get(value, 0)
        if padding > 1:
            raise BackendError(f"the native kernels have no border of {padding} pixels, which {value.name} needs")
        return blocked(cells, images, *value.size(self.image_size), border=padding > 0)

    def _call(self, operation: Operation, places: Places, together: int) -> None:
        x, out = _viewed(operation.x, places), _viewed(operation.out, places)
        match operation:
            case Conv():
                self._convolve(operation, x, out, places, together)
            case Pool():
                for down, across in _grids(x, operation.dilation):
                    self.calls.pool(
                        x.apart(down, across, operation.dilation),
                        out.apart(down, across, operation.dilation),
                        kernel=operation.kernel,
                        stride=operation.stride,
                        padding=operation.padding // operation.dilation,
                        maximum=operation.maximum,
                        counts_padding=operation.counts_padding,
                    )
            case Move():
                self.calls.pool(x, out, kernel=1, stride=1)
            case Mean():
                self.calls.mean(x, out)
            case Gated():
                gate, residual = (_viewed(view, places) for view in (operation.gate, operation.residual))
                self.calls.gated(x, gate, residual, out)

    def _convolve(self, conv: Conv, x: Activations, out: Activations, places: Places, together: int) -> None:
        residual, onward = _optional(conv.residual, places), _optional(self.onward.get(conv.out), places)
        epilogue = Epilogue(conv.activation, residual, _optional(conv.gate, places), onward)
        if conv.dilation == 1:
            self._convolve_plainly(conv, x, out, epilogue, together)
            return
        for grid in _grids(x, conv.dilation):
            ends = (residual, onward, out)
            own_residual, own_onward, own = (end and end.apart(*grid, conv.dilation) for end in ends)
            found = x.apart(*grid, conv.dilation)
            copy = blocked(x.cells, x.images, found.height, found.width, border=conv.padding > 0)
            self.calls.pool(found, copy, kernel=1, stride=1)
            its = replace(epilogue, residual=own_residual, onward=own_onward)
            self._convolve_plainly(conv, copy, own or out, its, together)

    def _convolve_plainly(
        self, conv: Conv, x: Activations, out: Activations, epilogue: Epilogue, together: int
    ) -> None:
        self.calls.convolve(
            x,
            _array(conv.weight),
            None if conv.bias is None else _array(conv.bias),
            out,
            stride=conv.stride,
            padding=conv.padding // conv.dilation,
            groups=conv.groups,
            epilogue=epilogue,
            together=together,
        )


def _grids(x: Activations, dilation: int) -> list[tuple[int, int]]:
    """Return the row and column where each of the grids begins whose pixels are `dilation` apart."""
    return list(product(range(min(dilation, x.height)), range(min(dilation, x.width))))


def _viewed(view: View, places: Places) -> Activations:
    if view == view.value.whole:
        return places[view.value]  # also images, which have a block per channel
    parts = [len(cells_of(part)) for part in view.value.parts]
    return places[view.value].part(sum(parts[: view.first]), sum(parts[view.first : view.first + view.count]))


def _optional(view: View | None, places: Places) -> Activations | None:
    return None if view is None else _viewed(view, places)


def _array(tensor: Tensor) -> Numbers:
    array: np.ndarray[Any, Any] = tensor.detach().numpy()
    return array
