"""Turn candidates into runners, through the files that the back ends write and the cache keeps."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import cached_property, partial
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from resnexus.acceleration.backends.contract import Candidate, Job, Runner
from resnexus.acceleration.backends.memory import memory_errors
from resnexus.acceleration.backends.registry import backend, versions
from resnexus.acceleration.planning.cache import EngineCache
from resnexus.acceleration.planning.digests import computes_on, digest, images_digest
from resnexus.acceleration.planning.space import space_errors
from resnexus.architectures.network import FeatureNetwork, Network
from resnexus.progress import Progress
from resnexus.rewrites.folding import cast
from resnexus.rewrites.table import rewritten
from resnexus.weights.state_digest import state_sha256


@final
class Builder:
    """Builds and loads the forms of one network.

    Args:
        network: in any floating-point dtype, on any device; left as it is.
        cache: where built networks are looked for.
        calibration: (K, C, H, W) float32 images for int8.
        progress: told before a network is built.
    """

    def __init__(
        self,
        network: Network | FeatureNetwork,
        cache: EngineCache,
        calibration: Tensor | None,
        progress: Progress,
    ) -> None:
        self._original = network
        self.cache, self.calibration, self.progress = cache, calibration, progress
        self.row = network.architecture

    @cached_property
    def network(self) -> Network | FeatureNetwork:
        """The network on the CPU, in float32 and in evaluation mode: a copy."""
        return cast(self._original, torch.float32).cpu()

    def network_on(self, device: str) -> Network | FeatureNetwork:
        """Return the same on a device: another copy where that is not the CPU."""
        return self.network if device == "cpu" else cast(self.network, torch.float32).to(device)

    @property
    def function(self) -> dict[str, Any]:
        """What the network computes, but for its weights: the row at an output stride, logits or feature maps."""
        network = self._original
        found = {"row": asdict(self.row), "output_stride": network.output_stride}
        if isinstance(network, FeatureNetwork):
            return found | {"maps": list(network.out_indices)}
        return found | {"classes": network.num_classes}

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What tells this network, its weights, and the images it is calibrated with, from others."""
        images = None if self.calibration is None else images_digest(self.calibration)
        return {**self.function, "weights": state_sha256(self._original), "calibration": images}

    def key(self, candidate: Candidate, job: Job) -> dict[str, Any]:
        """Return everything that a built network depends on."""
        entry = backend(candidate.backend)
        return {
            **self.identity,
            "backend": candidate.backend,
            "rewrites": sorted(candidate.rewrites),
            "built_for": entry.built_for(job, candidate.options),
            "versions": versions([entry], job.precision),
            **computes_on(job.device),
            "image": [job.in_chans, *job.image_size],
        }

    def files(self, candidate: Candidate, job: Job, scratch: Path) -> Path:
        """Return the folder of a built network: from the cache, from the scratch folder, or built there now.

        Raises:
            NoSpaceError: the disk is full.
        """
        key = self.key(candidate, job)
        kept = self.cache.find_build(key)
        if kept is not None:
            return kept
        return built_once(scratch / digest(key), partial(self._build, candidate, job))

    def load(self, candidate: Candidate, job: Job, folder: Path) -> Runner:
        """Return a runner for a built network."""
        with _libraries_quiet(), memory_errors(job):
            return backend(candidate.backend).load(folder, job, candidate.options)

    def _build(self, candidate: Candidate, job: Job, folder: Path) -> None:
        self.progress.say(f"building {candidate} for a batch of {job.batch_size}")
        with memory_errors(job):
            network = rewritten(self.network, candidate.rewrites)
            backend(candidate.backend).build(network, job, candidate.options, folder, self.calibration)


def built_once(folder: Path, build: Callable[[Path], None]) -> Path:
    """Return `folder`; what is in it is built before unless it is there, and is whole.

    Args:
        folder: where it goes; the folder that holds it exists.
        build: writes into an empty folder on the same disk.

    Raises:
        NoSpaceError: the disk is full.
    """
    if not folder.exists():
        with (
            space_errors(folder.parent),
            tempfile.TemporaryDirectory(prefix="unfinished-", dir=folder.parent) as scratch,
            space_errors(folder.parent),  # inside: a disk that is full has room again once the folder is removed
            _libraries_quiet(),
        ):
            unfinished = Path(scratch, folder.name)
            unfinished.mkdir()
            build(unfinished)
            unfinished.rename(folder)
    return folder


@contextmanager
def _libraries_quiet() -> Iterator[None]:
    """Hide the warnings that compilers and exporters have for their own developers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
