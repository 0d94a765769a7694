"""A network that was opened for some batch sizes: call it on images, get logits or feature maps."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NoReturn, final

import torch
from torch import Tensor

from resnexus.acceleration.backends.contract import Job, Output, Runner, joined, mapped
from resnexus.acceleration.backends.memory import memory_errors
from resnexus.acceleration.cuda.runner import GraphRunner
from resnexus.acceleration.inputs import Array, as_images, as_pixels
from resnexus.acceleration.pixels import of_pixels
from resnexus.acceleration.planning.plan import Plan
from resnexus.architectures.features import FeatureInfo
from resnexus.architectures.network import FeatureNetwork, Network
from resnexus.errors import ResnexusError
from resnexus.parity.agreement import Agreement

if TYPE_CHECKING:
    from resnexus.data.preprocess import Preprocess


class BatchSizeWarning(UserWarning):
    """A batch size that the engine was not planned for: correct, and slower than a planned one."""


class AnyEngine:
    """What engines for logits and for feature maps have in common.

    Args:
        opened: batch size -> the job, its plan and its runner.
        takes_pixels: whether the runners take bytes.

    Attributes:
        plans: batch size -> what was chosen and measured, with the agreement with the plain network.
        device: where it runs, `"cpu"` or `"cuda"`.
        takes_pixels: whether it is called on bytes, which it normalises, instead of prepared images.
    """

    def __init__(self, opened: Mapping[int, tuple[Job, Plan, Runner]], *, takes_pixels: bool = False) -> None:
        self.takes_pixels = takes_pixels
        self.plans = {size: plan for size, (_, plan, _) in sorted(opened.items())}
        self._jobs = {size: job for size, (job, _, _) in opened.items()}
        self._runners = {size: runner for size, (_, _, runner) in opened.items()}
        job = next(iter(self._jobs.values()))
        self.device, self._shape = job.device, job.shape[1:]
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._warned: set[int] = set()

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """The planned batch sizes, ascending."""
        return tuple(self.plans)

    def _outputs(self, images: Tensor | Array, shapes: Sequence[tuple[int, ...]]) -> list[Tensor]:
        """Return each output for all images; `shapes` are those of an image in them, for a batch without any."""
        self._check_process()
        batch = (as_pixels if self.takes_pixels else as_images)(images, self._shape, device=self.device)
        if len(batch) == 0:
            return [torch.zeros(0, *shape, device=batch.device) for shape in shapes]
        if len(batch) in self._runners:
            return _listed(self._run(len(batch), batch))
        parts = _parts(batch, self.batch_sizes, filling=self.device != "cpu")
        self._warn_once(len(batch), [size for size, _ in parts])
        outputs = []
        for size, part in parts:
            count = len(part)
            filled = torch.cat([part, part.new_zeros(size - count, *part.shape[1:])]) if count < size else part
            output = self._run(size, filled)
            outputs.append(mapped(partial(torch.narrow, dim=0, start=0, length=count), output))
        return _listed(joined(outputs))

    @property
    def device_bytes(self) -> int:
        """Bytes of weights and values on the GPU, for all batch sizes together; 0 if no engine of ours runs there."""
        runners = (runner for runner in self._runners.values() if isinstance(runner, GraphRunner))
        return sum({id(runner.there): runner.bytes for runner in runners}.values())

    def explain(self) -> str:
        """Return in words what runs each batch size, how fast, and how close to the plain network."""
        lines = []
        for size, plan in self.plans.items():
            lines.append(
                f"batch {size}: {plan.candidate}; {plan.median_ms:.2f} ms against {plan.plain_ms:.2f} ms of the plain "
                f"network when planned (ratio {plan.ratio:.3f}); {_agreement(plan.agreement, plan.images)}"
            )
        if self.device_bytes:
            lines.append(f"on the GPU: {self.device_bytes / 2**20:,.0f} MiB for weights and values of all batch sizes")
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

    def _run(self, size: int, batch: Tensor) -> Output:
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

    def _warn_once(self, size: int, parts: Sequence[int]) -> None:
        with self._lock:
            if size in self._warned:
                return
            self._warned.add(size)
        sizes = ", ".join(map(str, self.batch_sizes if self.device == "cpu" else parts))
        filled = ", filled up with zeros" if self.device != "cpu" and sum(parts) > size else ""
        warnings.warn(
            f"a batch of {size} was not planned for and runs as batches of {sizes}{filled}: slower than it could be; "
            f"give batch_sizes=({size},) to plan it",
            BatchSizeWarning,
            stacklevel=4,
        )


@final
class Engine(AnyEngine):
    """Runs one network in its fastest form; safe to call from several threads, which then take turns.

    It belongs to the process that opened it: a forked one opens its own.

    Args:
        opened: batch size -> the job, its plan and its runner.
        classes: how many logits an image has.
        takes_pixels: whether the runners take bytes.

    Attributes:
        plans: batch size -> what was chosen and measured, with the agreement with the plain network.
        classes: how many logits an image has.
    """

    def __init__(
        self, opened: Mapping[int, tuple[Job, Plan, Runner]], classes: int, *, takes_pixels: bool = False
    ) -> None:
        super().__init__(opened, takes_pixels=takes_pixels)
        self.classes = classes

    def __call__(self, images: Tensor | Array) -> Tensor:
        """Compute logits.

        A batch size that was not planned for runs as planned ones, one after another, the last one filled up with
        zeros; on a GPU as the next larger one, filled up. The first such call of a size says so with a
        `BatchSizeWarning`.

        Args:
            images: (N, C, H, W) on the CPU or the device of the engine, prepared as for the network; in any floating
                point, byte order and memory layout, and left as they are. Of an engine that was opened with `pixels`,
                (N, H, W, C) or (N, C, H, W) uint8, as they were cropped.

        Returns:
            (N, classes) float32, where the images are. From images on a GPU they are queued on the current stream, as
            PyTorch does itself.

        Raises:
            ResnexusError: another shape, device or dtype, not enough memory, or a process that was forked from the one
                that opened the engine.
        """
        (logits,) = self._outputs(images, [(self.classes,)])
        return logits


@final
class FeatureEngine(AnyEngine):
    """Runs one feature network in its fastest form; shared by threads and bound to its process as an `Engine`.

    Args:
        opened: batch size -> the job, its plan and its runner.
        feature_info: of the network.
        out_indices: of the network.
        takes_pixels: whether the runners take bytes.

    Attributes:
        plans: batch size -> what was chosen and measured, with the agreement of every map with the plain network's.
        feature_info: the maps that are returned, in that order.
        out_indices: their numbers.
    """

    def __init__(
        self,
        opened: Mapping[int, tuple[Job, Plan, Runner]],
        feature_info: FeatureInfo,
        out_indices: Sequence[int],
        *,
        takes_pixels: bool = False,
    ) -> None:
        super().__init__(opened, takes_pixels=takes_pixels)
        self.feature_info, self.out_indices = feature_info, tuple(out_indices)

    def __call__(self, images: Tensor | Array) -> list[Tensor]:
        """Compute feature maps; other batch sizes, and what is accepted and refused, as for an `Engine`.

        Args:
            images: (N, C, H, W), prepared as for the network, or bytes.

        Returns:
            Per map, (N, channels, H / reduction, W / reduction), rounded up, contiguous float32, where the images are.
        """
        height, width = self._shape[1:]
        shapes = [
            (part.num_chs, -(-height // part.reduction), -(-width // part.reduction)) for part in self.feature_info
        ]
        return self._outputs(images, shapes)


def engine_of(
    network: Network | FeatureNetwork,
    opened: Mapping[int, tuple[Job, Plan, Runner]],
    pixels: Preprocess | None = None,
) -> Engine | FeatureEngine:
    """Return the engine for a network: one for logits, or one for its feature maps.

    Args:
        network: what it runs.
        opened: batch size -> the job, its plan and its runner of prepared images.
        pixels: how images that come as bytes are normalised; None where they come prepared.
    """
    if pixels is not None:
        opened = {size: (job, plan, of_pixels(runner, job, pixels)) for size, (job, plan, runner) in opened.items()}
    takes = pixels is not None
    if isinstance(network, FeatureNetwork):
        return FeatureEngine(opened, network.feature_info, network.out_indices, takes_pixels=takes)
    return Engine(opened, network.num_classes or network.num_features, takes_pixels=takes)


def _listed(output: Output) -> list[Tensor]:
    return [output] if isinstance(output, Tensor) else output


def _agreement(found: Agreement, images: int) -> str:
    count = f"{images} image{'' if images == 1 else 's'}"
    if found.top1 is None:
        maps = "the only map" if len(found.maps) == 1 else f"the worst of {len(found.maps)} maps"
        return (
            f"{found.subject}, {maps}, differs by {found.max_rel:.1e} of its largest, smallest cosine "
            f"{found.cosine:.6f}, on {count}"
        )
    return (
        f"logits differ by {found.max_rel:.1e} of the largest, smallest cosine {found.cosine:.6f}, same class for "
        f"{_share(found.top1)} of {count}"
    )


def _share(fraction: float) -> str:
    """Return a fraction in per cent, cut off: 100 % means all."""
    return f"{int(fraction * 1000) / 10:g} %"


def _parts(batch: Tensor, sizes: tuple[int, ...], *, filling: bool) -> list[tuple[int, Tensor]]:
    """Cut a batch into the largest planned sizes that fit, and a rest for the smallest that holds it.

    With `filling`, a part goes to the smallest that holds it as soon as one does: a GPU takes as long for a batch as
    for a few images less.
    """
    found = []
    while len(batch):
        fitting = [size for size in sizes if size <= len(batch)]
        holding = [size for size in sizes if size >= len(batch)]
        size = holding[0] if holding and (filling or not fitting) else fitting[-1]
        found.append((size, batch[:size]))
        batch = batch[size:]
    return found
