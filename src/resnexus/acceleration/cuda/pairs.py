"""Two steps as one: a grouped 3x3 convolution and the 1x1 that alone reads its result.

Apart they are written and read once more than needed; together one kernel of ours can keep what is between them in
registers. Which is faster is measured, so that a record has the steps apart until that is known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import replace

from resnexus.acceleration.cuda.steps import ProgramRecord, Step


def pairs(record: ProgramRecord) -> dict[int, Step]:
    """Return number of the first step -> it and the next one as one step, wherever that computes the same."""
    readers = Counter(record.outputs)
    readers.update(place.value for step in record.steps for place in step.reads())
    found = {}
    for number, (first, second) in enumerate(zip(record.steps, record.steps[1:], strict=False)):
        alone = second.x == first.out and readers[first.out.value] == 1
        whole = first.out.channels == record.values[first.out.value].channels
        if alone and whole and _is_inner(first) and _is_outer(second):
            weights = (*first.weights, *second.weights)
            found[number] = replace(
                first, kind="pair", out=second.out, residual=second.residual, relu=second.relu, weights=weights
            )
    return found


def paired(record: ProgramRecord, numbers: Collection[int]) -> ProgramRecord:
    """Return a record with some of its pairs, named by the number of the first step, as one step each."""
    found = pairs(record)
    steps = [
        found[number] if number in numbers else step
        for number, step in enumerate(record.steps)
        if number - 1 not in numbers
    ]
    return replace(record, steps=tuple(steps))


def _is_inner(step: Step) -> bool:
    """Whether a step is a grouped 3x3 with bias and ReLU, and nothing else."""
    window = (step.kernel, step.padding, step.dilation)
    alone = step.addend is None and step.residual is None and step.gate is None
    return step.kind == "convolve" and window == (3, 1, 1) and step.groups > 1 and alone and step.relu and step.has_bias


def _is_outer(step: Step) -> bool:
    """Whether a step is a 1x1 with a bias, of all pixels, with a residual at most."""
    window = (step.kernel, step.stride, step.groups)
    alone = step.addend is None and step.gate is None and step.copy is None
    return step.kind == "convolve" and window == (1, 1, 1) and alone and step.has_bias
