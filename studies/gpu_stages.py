"""What `gpu_bench` measures besides latencies: steps against float64, peaks, profiles, and a training step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from resnexus.acceleration.backends.contract import DTYPES, Job
from resnexus.acceleration.cuda.arrange import arrange
from resnexus.acceleration.cuda.choosing import describe, ways_of
from resnexus.acceleration.cuda.device import event_ms, exact_float32
from resnexus.acceleration.cuda.normaliser import Normaliser
from resnexus.acceleration.cuda.our_ways import have_kernels
from resnexus.acceleration.cuda.pairs import pairs
from resnexus.acceleration.cuda.steps import Place, ProgramRecord, Step
from resnexus.acceleration.cuda.ways import Operands, Way, Weights
from resnexus.acceleration.lowering.lower import lower
from resnexus.acceleration.planning.timing import interleaved
from resnexus.architectures.catalog import CATALOG
from resnexus.architectures.network import Network
from resnexus.benchmark.peaks import peak
from resnexus.data.preprocess import Preprocess
from resnexus.errors import ResnexusError
from resnexus.models import create_model
from resnexus.packages import is_installed
from resnexus.rewrites.table import REWRITES, free, rewritten
from studies.gpu_record import Kernel, Outcome, StepCheck, Training
from studies.gpu_task import Measure, Setting, Task

ALLOWED = {"fp32": 1e-5, "fp16": 2e-3, "bf16": 1.6e-2}
"""How far the result of a step may be from float64's on the same operands: a few roundings of the largest value."""

KINDS = ("ResNet50_vd", "ResNeXt50_32x4d", "SE_ResNeXt50_32x4d", "Res2Net50_26w_4s")
"""One network of each kind."""

FIRST = (*KINDS, "Res2Net50_vd_26w_4s", "SE_ResNet18_vd")
"""Networks that are compared and timed before all others: those, one of basic blocks, and one that pools its splits."""

TIMM_TRAINED = {
    "ResNeXt50_32x4d": "resnext50_32x4d",
    "SE_ResNeXt50_32x4d": "seresnext50_32x4d",
    "Res2Net50_26w_4s": "res2net50_26w_4s",
}
"""Networks of timm of the same cost; the last one computes something else."""

ALIGNED = "res2_aligned_widths_8"
TRAINING_ROUNDS = 10
PARITY_SIZE = (65, 79)
"""Of images: odd at every stride, and small, since the reference runs on the CPU."""


def parity(task: Task, setting: Setting, folder: Path) -> Measure:
    """Compare a share of all distinct steps of the networks, in all ways, with float64, as far as the time goes."""
    checks: list[StepCheck] = []
    share, shares = task.share
    unchecked = 0
    for precision, size in task.cells:
        job = replace(setting.job(precision, size), image_size=PARITY_SIZE)
        for number, (record, step, weights) in enumerate(distinct_steps(job, task.model)):
            if number % shares != share:
                continue
            if time.monotonic() < setting.deadline:
                checks += _checked(record, step, weights, job)
            else:
                unchecked += 1
        if share == 0:
            checks += _normalised(job)
    notes = (f"{task.name}: there was no time for {unchecked} steps",) if unchecked else ()
    return lambda: Outcome(steps=tuple(checks), notes=notes)


def distinct_steps(job: Job, model: str = "") -> Iterator[tuple[ProgramRecord, Step, dict[str, Tensor]]]:
    """Yield every step that differs from those before in what its speed depends on, of one network or of all 28.

    Res2 blocks are looked at with widths of a multiple of 8, too, as a plan may have them.
    """
    seen = set()
    for row in (CATALOG[name] for name in ([model] if model else dict.fromkeys((*KINDS, *CATALOG)))):
        shallow = tuple(min(2, depth) for depth in row.depths)  # the blocks that follow are like the second
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = create_model(row, depths=shallow).eval()
        for more in ((), (ALIGNED,)) if REWRITES[ALIGNED].applies(row) else ((),):
            found = arrange(lower(rewritten(network, (*free(row), *more))), torch.float32)
            record = ProgramRecord(values=found.values, outputs=found.outputs, steps=found.steps, weights="")
            for step in (*record.steps, *pairs(record).values()):
                name = describe(record, step, job)
                if name not in seen:
                    seen.add(name)
                    yield record, step, {weight: _drawn(found.weights[weight]) for weight in step.weights}


def _drawn(weight: Tensor) -> Tensor:
    """Return a weight as it is, and a bias with values instead of the zeros of a new network."""
    return torch.randn(len(weight), generator=torch.Generator().manual_seed(1)) if weight.ndim == 1 else weight


def _checked(record: ProgramRecord, step: Step, weights: dict[str, Tensor], job: Job) -> Iterator[StepCheck]:
    name, ours = describe(record, step, job), have_kernels(job.device)
    dtype = DTYPES[job.precision]
    stored = {key: _laid_out(weight.to(job.device, dtype)) for key, weight in weights.items()}
    expected = _run(ways_of(step, ours=False)[0], record, step, stored, job, torch.float64, "cpu")
    for way in ways_of(step, ours=ours):
        try:
            found = _run(way, record, step, stored, job, dtype, job.device)
            max_rel = max(_off(part.double().cpu(), right) for part, right in zip(found, expected, strict=True))
            yield StepCheck(step=name, way=way.name, max_rel=max_rel, allowed=ALLOWED[job.precision])
        except Exception as error:  # a compiler may fail in any way; the others are still checked
            note = f"{type(error).__name__}: {error}".splitlines()[0]
            yield StepCheck(step=name, way=way.name, max_rel=None, allowed=ALLOWED[job.precision], note=note)


def _normalised(job: Job) -> Iterator[StepCheck]:
    """Compare bytes that are normalised on the device with float64."""
    pixels = torch.randint(0, 256, (job.batch_size, *job.image_size, 3), generator=torch.Generator().manual_seed(0))
    preprocess, like = Preprocess(), torch.empty(0, dtype=DTYPES[job.precision], device=job.device)
    mean, std = (torch.tensor(numbers, dtype=torch.float64) for numbers in (preprocess.mean, preprocess.std))
    expected = ((pixels / 255.0 - mean) / std).permute(0, 3, 1, 2)
    for ours in (False, True) if have_kernels(job.device) else (False,):
        way, max_rel, note = "preprocess" if ours else "aten_normalise", None, ""
        try:
            found = Normaliser(preprocess, like, ours=ours)(pixels.to(job.device, torch.uint8))
            max_rel = _off(found.double().cpu(), expected)
        except Exception as error:  # as of any step
            note = f"{type(error).__name__}: {error}".splitlines()[0]
        name = f"normalise {job.batch_size}x{job.image_size[0]}x{job.image_size[1]} {job.precision}"
        yield StepCheck(step=name, way=way, max_rel=max_rel, allowed=ALLOWED[job.precision], note=note)


def _off(found: Tensor, expected: Tensor) -> float:
    """Return the largest difference over the largest value.

    Raises:
        ResnexusError: a number is missing.
    """
    if found.isnan().any():
        raise ResnexusError(f"{int(found.isnan().sum())} of {found.numel()} results are no numbers")
    return float((found - expected).abs().max() / expected.abs().max())


def _run(
    way: Way, record: ProgramRecord, step: Step, weights: dict[str, Tensor], job: Job, dtype: torch.dtype, device: str
) -> list[Tensor]:
    """Return the result of a way, and its copy if it has one, on random operands, among values that are no numbers."""
    generator = torch.Generator().manual_seed(0)
    values: dict[int, Tensor] = {}
    for place in (*step.reads(), *step.writes()):
        if place.value not in values:
            shape = record.values[place.value].shape(job.batch_size, job.image_size)
            drawn = torch.randn(shape, generator=generator).to(DTYPES[job.precision])
            values[place.value] = drawn.to(device, dtype, memory_format=torch.channels_last)
    written = {place.value: torch.full_like(values[place.value], torch.nan) for place in step.writes()}

    def channels(of: dict[int, Tensor], place: Place) -> Tensor:
        return of[place.value].narrow(1, place.first, place.channels)

    own = Weights({name: _laid_out(weight.to(device, dtype)) for name, weight in weights.items()})
    operands = Operands(step, partial(channels, values), partial(channels, written), own)
    poison = [torch.full_like(operands.out, torch.nan) for _ in range(4)]
    del poison  # what a library allocates for its result holds what is left of it
    with torch.no_grad(), exact_float32():
        result = way.run(operands)
    return [result] if operands.copy is None else [result, operands.copy]


def _laid_out(weight: Tensor) -> Tensor:
    return weight.contiguous(memory_format=torch.channels_last if weight.ndim == 4 else torch.contiguous_format)


def peaks(task: Task, setting: Setting, folder: Path) -> Measure:
    """Return what measures copies, matrix products, and the length of a chain of kernels."""
    precisions = tuple(dict.fromkeys(precision for precision, _ in task.cells))

    def measured() -> Outcome:
        found = tuple(peak(setting.device, precision, torch.get_num_threads()) for precision in precisions)
        return Outcome(peaks=found, chain_us=chain_us() if setting.device == "cuda" else None)

    return measured


def chain_us(length: int = 1000) -> float:
    """Return microseconds of each of many kernels that wait for each other, in one CUDA graph."""
    x = torch.zeros(128, device="cuda")
    graph = torch.cuda.CUDAGraph()
    x.add_(1)
    torch.cuda.synchronize()
    with torch.cuda.graph(graph):
        for _ in range(length):
            x.add_(1)
    graph.replay()
    return 1e3 * min(event_ms(graph.replay) for _ in range(5)) / length


def profile(call: Callable[[], object], calls: int = 5, most: int = 20) -> tuple[float, tuple[Kernel, ...]]:
    """Return how many kernels a call launches, and those that take most time, after it has run before."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    with profiler(activities=[ProfilerActivity.CUDA]) as found:
        for _ in range(calls):
            call()
        torch.cuda.synchronize()
    rows = [row for row in found.key_averages() if row.self_device_time_total > 0]  # the others are the host's
    rows.sort(key=lambda row: -row.self_device_time_total)
    return sum(row.count for row in rows) / calls, tuple(
        Kernel(name=row.key[:120], count=row.count / calls, us=row.self_device_time_total / calls)
        for row in rows[:most]
    )


def training(task: Task, setting: Setting, folder: Path) -> Measure:
    """Compile the training step of a network and of timm's, and return what times them in turns."""
    timm_name = TIMM_TRAINED[task.model]
    ((_, size),) = task.cells
    calls: dict[str, Callable[[], object]] = {"ours": _training_step(create_model(task.model), size, setting)}
    if is_installed("timm"):
        import timm

        calls["timm"] = _training_step(timm.create_model(timm_name), size, setting)
    for call in calls.values():
        call()  # compiles

    def measured() -> Outcome:
        if "timm" not in calls:
            return Outcome(notes=(f"{task.name}: timm is not installed",))
        times = interleaved(calls, rounds=TRAINING_ROUNDS, timed=event_ms if setting.device == "cuda" else None)
        step = Training(
            model=task.model,
            timm=timm_name,
            batch_size=size,
            ours_ms=median(times["ours"]),
            timm_ms=median(times["timm"]),
        )
        return Outcome(training=(step,))

    return measured


def _training_step(network: Network | nn.Module, size: int, setting: Setting) -> Callable[[], object]:
    """Return forward, backward and update of a network: bfloat16 where it is safe, channels last, compiled."""
    device = setting.device
    network = network.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    images = torch.randn(size, 3, setting.image_size, setting.image_size, device=device)
    images = images.to(memory_format=torch.channels_last)
    labels = torch.randint(1000, (size,), device=device)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, foreach=True)
    compiled: Any = torch.compile(network, dynamic=False) if device == "cuda" else network

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16):
            loss = nn.functional.cross_entropy(compiled(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step
