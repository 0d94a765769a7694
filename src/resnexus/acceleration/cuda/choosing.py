"""Which way each step of a network goes: the libraries, our kernels where they need no measurement, or as measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, get_args

from resnexus.acceleration.backends.contract import BackendError, Job
from resnexus.acceleration.cuda.our_ways import OURS
from resnexus.acceleration.cuda.pairs import paired, pairs
from resnexus.acceleration.cuda.steps import Place, ProgramRecord, Step
from resnexus.acceleration.cuda.ways import LIBRARY, Way

Kernels = Literal["library", "ours", "measured"]
KERNELS: tuple[Kernels, ...] = get_args(Kernels)
"""Values of the option `kernels`."""

_WAYS = {way.name: way for way in (*LIBRARY, *OURS)}

ALIGNMENT = 8
"""Channels in half precision that are read at once."""

Chosen = tuple[tuple[Way, object], ...]
"""For every step, the way that does it, and the setting of its kernel or None for the kernel's own choice."""


def ways_of(step: Step, *, ours: bool) -> tuple[Way, ...]:
    """Return the ways that take a step, the libraries' first.

    Args:
        step: what is to be done.
        ours: whether our kernels run here.

    Raises:
        BackendError: none does.
    """
    found = tuple(way for way in (*LIBRARY, *OURS[: None if ours else 0]) if way.kind == step.kind and way.takes(step))
    if not found:
        raise BackendError(f"nothing here does {step}")
    return found


def unmeasured(record: ProgramRecord, *, ours: bool) -> Chosen:
    """Return the ways where nothing was measured: the first of the libraries', or our kernel that is one pass."""
    return tuple((_unmeasured(record, step, ours=ours), None) for step in record.steps)


def _unmeasured(record: ProgramRecord, step: Step, *, ours: bool) -> Way:
    ways = ways_of(step, ours=ours)
    chosen = (way for way in ways if way.by_default is not None and way.by_default(record, step))
    return next(chosen, ways[0])


def measured(
    record: ProgramRecord, job: Job, names: Mapping[str, str], setting: Callable[[Way, str], object]
) -> tuple[ProgramRecord, Chosen]:
    """Return the steps, pairs of them as one where that was the fastest, and the ways that were.

    Args:
        record: the steps, all apart.
        job: what they are for.
        names: description of a step -> `"way"`, or `"way:setting"`; a pair that has a name is one step.
        setting: a way and the text of a setting -> the setting.

    Raises:
        BackendError: a step without a way, or one that does not take it.
    """
    record = paired(record, [number for number, pair in pairs(record).items() if describe(record, pair, job) in names])
    found = []
    for step in record.steps:
        name, _, text = names.get(describe(record, step, job), "").partition(":")
        way = _WAYS.get(name)
        if way is None or way.kind != step.kind or not way.takes(step):
            raise BackendError(f"the built network names no way for {describe(record, step, job)}: build it again")
        found.append((way, setting(way, text) if text else None))
    return record, tuple(found)


def describe(record: ProgramRecord, step: Step, job: Job) -> str:
    """Return all that the speed of a step depends on, in words: steps with the same description run alike."""
    height, width = record.values[step.x.value].shape(1, job.image_size)[2:]
    words = [
        step.kind,
        f"{_channels(record, step.x)}->{_channels(record, step.out)}",
        f"{job.batch_size}x{height}x{width}",
        job.precision,
    ]
    sizes = {"k": step.kernel, "s": step.stride, "p": step.padding, "d": step.dilation, "g": step.groups}
    words += [f"{letter}{size}" for letter, size in sizes.items() if size != (0 if letter == "p" else 1)]
    if step.squeezed is not None:
        words.append(f"squeezed {step.squeezed}")
    words += [name for name in ("addend", "residual", "gate") if getattr(step, name) is not None]
    if step.copy is not None:
        words.append(f"copy {_channels(record, step.copy)}")
    flags = {
        "bias": step.kind == "convolve" and step.has_bias,
        "relu": step.relu,
        "maximum": step.maximum,
        "counts padding": step.counts_padding,
    }
    return " ".join(words + [name for name, holds in flags.items() if holds])


def _channels(record: ProgramRecord, place: Place) -> str:
    of = record.values[place.value].channels
    # Of some channels of a value it matters how they are aligned, not which they are.
    return str(place.channels) if place.channels == of else f"{place.channels} of {of} at {place.first % ALIGNMENT}"
