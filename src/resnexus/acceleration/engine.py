"""A network that was opened for some batch sizes: call it on images, get logits."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Mapping
from typing import NoReturn, final

import torch
from torch import Tensor

from resnexus.acceleration.backends.contract import Job, Runner
from resnexus.acceleration.backends.memory import memory_errors
from resnexus.acceleration.inputs import Array, as_images
from resnexus.acceleration.planning.plan import Plan
from resnexus.errors import ResnexusError


class BatchSizeWarning(UserWarning):
    """A batch size that the engine was not planned for: correct, and slower than a planned one."""


@final
class Engine:
    """Runs one network in its fastest form; safe to call from several threads, which then take turns.

    It belongs to the process that opened it: a forked one opens its own.

    Args:
        opened: batch size -> the job, its plan and its runner.
        classes: how many logits an image has.

    Attributes:
        plans: batch size -> what was chosen and measured, with the agreement with the plain network.
        classes: how many logits an image has.
    """

    def __init__(self, opened: Mapping[int, tuple[Job, Plan, Runner]], classes: int) -> None:
        self.plans = {size: plan for size, (_, plan, _) in sorted(opened.items())}
        self.classes = classes
        self._jobs = {size: job for size, (job, _, _) in opened.items()}
        self._runners = {size: runner for size, (_, _, runner) in opened.items()}
        self._shape = next(iter(self._jobs.values())).shape[1:]
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._warned: set[int] = set()

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """The planned batch sizes, ascending."""
        return tuple(self.plans)

    def __call__(self, images: Tensor | Array) -> Tensor:
        """Compute logits.

        A batch size that was not planned for runs as planned ones, one after another, the last one filled up with
        zeros; the first such call of a size says so with a `BatchSizeWarning`.

        Args:
            images: (N, C, H, W) on the CPU, prepared as for the network; in any floating point, byte order and memory
                layout, and left as they are.

        Returns:
            (N, classes) float32 on the CPU.

        Raises:
            ResnexusError: another shape, another device, whole numbers, not enough memory, or a process that was
                forked from the one that opened the engine.
        """
        self._check_process()
        batch = as_images(images, self._shape)
        if len(batch) == 0:
            return batch.new_zeros(0, self.classes)
        if len(batch) in self._runners:
            return self._run(len(batch), batch)
        self._warn_once(len(batch))
        outputs = []
        for size, part in _parts(batch, self.batch_sizes):
            filled = torch.cat([part, part.new_zeros(size - len(part), *self._shape)]) if len(part) < size else part
            outputs.append(self._run(size, filled)[: len(part)])
        return torch.cat(outputs)

    def explain(self) -> str:
        """Return in words what runs each batch size, how fast, and how close to the plain network."""
        lines = []
        for size, plan in self.plans.items():
            found = plan.agreement
            lines.append(
                f"batch {size}: {plan.candidate}; {plan.median_ms:.2f} ms against {plan.plain_ms:.2f} ms of the plain "
                f"network when planned (ratio {plan.ratio:.3f}); logits differ by {found.max_rel:.1e} of the largest, "
                f"smallest cosine {found.cosine:.6f}, same class for {_share(found.top1)} of "
                f"{plan.images} image{'' if plan.images == 1 else 's'}"
            )
        return "\n".join(lines)

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied: files and threads of this process are behind it.

        Raises:
            ResnexusError: always.
        """
        raise ResnexusError(
            "an engine cannot be pickled or copied, it belongs to this process: pass the network on, and call "
            "accelerate in each process, which takes a second or two once there is a plan"
        )

    def _run(self, size: int, batch: Tensor) -> Tensor:
        with self._lock, memory_errors(self._jobs[size]):
            return self._runners[size](batch)

    def _check_process(self) -> None:
        """Refuse to run where the threads of the libraries are not: most would wait for them for ever."""
        if os.getpid() != self._process:
            raise ResnexusError(
                f"this engine was opened in process {self._process} and its threads stayed there when process "
                f"{os.getpid()} was forked: call accelerate in each process, which takes a second or two once there is "
                "a plan"
            )

    def _warn_once(self, size: int) -> None:
        with self._lock:
            if size in self._warned:
                return
            self._warned.add(size)
        warnings.warn(
            f"a batch of {size} was not planned for and runs as batches of "
            f"{', '.join(map(str, self.batch_sizes))}: slower than it could be; give batch_sizes=({size},) to plan it",
            BatchSizeWarning,
            stacklevel=3,
        )


def _share(fraction: float) -> str:
    """Return a fraction in per cent, cut off: 100 % means all."""
    return f"{int(fraction * 1000) / 10:g} %"


def _parts(batch: Tensor, sizes: tuple[int, ...]) -> list[tuple[int, Tensor]]:
    """Cut a batch into the largest planned sizes that fit, and a rest for the smallest that holds it."""
    found = []
    while len(batch):
        fitting = [size for size in sizes if size <= len(batch)]
        size = fitting[-1] if fitting else sizes[0]
        found.append((size, batch[:size]))
        batch = batch[size:]
    return found
