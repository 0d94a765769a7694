"""What a benchmark is asked for and what it leaves behind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch

from resnexus.acceleration.backends.contract import PRECISIONS
from resnexus.acceleration.backends.registry import BACKENDS
from resnexus.acceleration.cuda.device import check_gpu
from resnexus.architectures.complexity import complexity
from resnexus.benchmark.cell import Cell
from resnexus.benchmark.engines import ENGINES, quick_engines
from resnexus.benchmark.environment import Environment
from resnexus.benchmark.peaks import Peak
from resnexus.benchmark.ranges import not_negative, whole
from resnexus.devices import CPU, GPU, device_kind
from resnexus.errors import ResnexusError, unknown
from resnexus.machine import check_threads

SCHEMA = 1

SETTLE_S = 0.25
"""Seconds of untimed calls before the timed one of a turn: longer than any neighbour's threads wait for work."""


def usual_precisions(device: str) -> tuple[str, ...]:
    """Return what is timed where nothing else is said: float32, and bfloat16 where PyTorch has kernels for it.

    On a processor without AVX-512 its convolutions in bfloat16 take tens of times as long as in float32, which says
    nothing of any network.

    Args:
        device: `"cpu"` or `"cuda"`.
    """
    if device == "cpu" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return ("fp32",)
    return ("fp32", "bf16")


@dataclass(frozen=True, kw_only=True)
class BenchSettings:
    """What is timed, and how.

    Attributes:
        devices: each as `resnexus.devices.device_kind` takes it, whose word is kept: `"cpu"` or `"cuda"`.
        precisions: of `"fp32"`, `"bf16"`, `"fp16"`, `"int8"`.
        batch_sizes: images per call.
        engines: names of `engines.ENGINES`.
        image_size: pixels on a side.
        out_indices: the feature maps that networks return; empty for logits.
        output_stride: of the networks; None for the rows' own.
        rounds: in how many rounds all take turns; each has one timed call in a round.
        threads: CPU threads of every engine.
        plan_backends: the back ends that our own engine considers; None for all that are installed.
        plan_seconds: of each round of planning of our own engine.
        settle_s: seconds of untimed calls before each timed one, at least one call; 0 is enough where all engines
            are PyTorch's own and share its threads.
        together: how many networks take turns with each other, in all engines and precisions; each of them is in
            memory as often. One at a time compares engines, several compare networks.
    """

    devices: tuple[str, ...] = ("cpu",)
    precisions: tuple[str, ...] = ("fp32", "bf16")
    batch_sizes: tuple[int, ...] = (1, 8)
    engines: tuple[str, ...] = field(default_factory=quick_engines)
    image_size: int = 224
    out_indices: tuple[int, ...] = ()
    output_stride: int | None = None
    rounds: int = 10
    threads: int = field(default_factory=lambda: check_threads(None))
    plan_backends: tuple[str, ...] | None = None
    plan_seconds: float = 10.0
    settle_s: float = SETTLE_S
    together: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "devices", tuple(map(device_kind, self.devices)))
        _check_names("device", self.devices, (CPU, GPU))
        _check_names("precision", self.precisions, PRECISIONS)
        _check_names("engine", self.engines, ENGINES, see="resnexus bench --list-engines")
        _check_names("back end", self.plan_backends or (), BACKENDS)
        for size in self.batch_sizes:
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise ResnexusError(f"batch size {size!r}: expected a whole number of at least 1")
        for index in self.out_indices:
            if isinstance(index, bool) or not isinstance(index, int) or index < 0:
                raise ResnexusError(f"map {index!r}: expected the number of a feature map, 0 for the stem's")
        if self.output_stride is not None:
            whole(output_stride=self.output_stride)
        whole(image_size=self.image_size, rounds=self.rounds, threads=self.threads, together=self.together)
        not_negative(plan_seconds=self.plan_seconds, settle_s=self.settle_s)
        if not (self.devices and self.precisions and self.batch_sizes and self.engines):
            raise ResnexusError("nothing to time: name a device, a precision, a batch size and an engine at least")

    def check_networks(self, names: Iterable[str]) -> None:
        """Check that networks have the feature maps and the output stride.

        Raises:
            ResnexusError: an unknown name, or one that has them not.
        """
        for name in names:
            complexity(name, output_stride=self.output_stride, out_indices=self.out_indices or None)

    def check_here(self) -> None:
        """Check that this machine can do it: a record may come from another one.

        Raises:
            ResnexusError: more threads than usable cores, or no GPU.
        """
        check_threads(self.threads)
        if GPU in self.devices:
            check_gpu()


def _check_names(kind: str, given: Sequence[str], known: Iterable[str], see: str = "") -> None:
    for name in given:
        if name not in known:
            raise unknown(kind, name, known, see)
        if given.count(name) > 1:
            raise ResnexusError(f"{kind} {name!r} is named {given.count(name)} times: name each once")


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """Something that was not timed, and why."""

    model: str
    device: str
    precision: str
    batch_size: int
    engine: str
    reason: str

    def __post_init__(self) -> None:
        whole(batch_size=self.batch_size)


@dataclass(frozen=True, kw_only=True)
class Group:
    """What is timed together: the calls of these networks, in all engines and precisions, take turns."""

    models: tuple[str, ...]
    device: str
    batch_size: int


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What a benchmark measured.

    Cells of one network, device and batch size were timed together, call by call in turns.

    Attributes:
        environment: where.
        settings: how.
        peaks: of the machine, per device and precision.
        cells: one for each network, device, precision, batch size and engine.
        left_out: those that were not timed.
        schema: version of this layout.
    """

    environment: Environment
    settings: BenchSettings
    peaks: tuple[Peak, ...] = ()
    cells: tuple[Cell, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise ResnexusError(f"schema={self.schema}: expected {SCHEMA}; measure again with this version")

    def has(self, model: str, device: str, batch_size: int) -> bool:
        """Whether a network was timed on a device at a batch size, as far as it could be."""
        entries: tuple[Cell | LeftOut, ...] = (*self.cells, *self.left_out)
        return any((entry.model, entry.device, entry.batch_size) == (model, device, batch_size) for entry in entries)

    def differences(self, settings: BenchSettings, here: Environment) -> list[str]:
        """Return what keeps measurements with these settings, in this environment, out of this record: in words."""
        there = replace(self.environment, date=here.date)
        found = [*_differences(self.settings, settings)]
        found += [text for text in _differences(there, here) if not text.startswith("packages ")]
        packages = dict.fromkeys([*there.packages, *here.packages])
        found += [
            f"{name} {there.packages.get(name, 'missing')} there, {here.packages.get(name, 'missing')} here"
            for name in packages
            if there.packages.get(name) != here.packages.get(name)
        ]
        return found


def _differences(there: Any, here: Any) -> list[str]:
    pairs = {item.name: (getattr(there, item.name), getattr(here, item.name)) for item in fields(there)}
    return [
        f"{name} {_shown(values[0])} there, {_shown(values[1])} here"
        for name, values in pairs.items()
        if values[0] != values[1]
    ]


def _shown(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def groups(models: Sequence[str], settings: BenchSettings, before: Bench | None = None) -> list[Group]:
    """Return what is to be timed together, in the order of measuring.

    Args:
        models: names of networks, each once.
        settings: what is timed.
        before: what this record has is left out.
    """
    wanted = [
        Group(
            models=tuple(
                model
                for model in models[start : start + settings.together]
                if before is None or not before.has(model, device, size)
            ),
            device=device,
            batch_size=size,
        )
        for start in range(0, len(models), settings.together)
        for device in settings.devices
        for size in settings.batch_sizes
    ]
    return [group for group in wanted if group.models]


def steps(group: Group, settings: BenchSettings) -> int:
    """How often `run` reports a step in one group: for every network that is opened, and for every round."""
    return len(group.models) * len(settings.engines) * len(settings.precisions) + settings.rounds
