"""Make a network fast on this machine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack, overload

import numpy as np
import torch
from torch import Tensor

from resnexus.acceleration.backends.contract import PRECISIONS, Job, Precision
from resnexus.acceleration.cuda.device import check_gpu
from resnexus.acceleration.engine import Engine, FeatureEngine, engine_of
from resnexus.acceleration.inputs import Array, as_images
from resnexus.acceleration.planning.cache import EngineCache
from resnexus.acceleration.planning.planner import Planner
from resnexus.architectures.network import FeatureNetwork, Network
from resnexus.devices import GPU, device_kind
from resnexus.errors import ResnexusError, unknown
from resnexus.machine import check_threads
from resnexus.progress import Progress

if TYPE_CHECKING:
    from resnexus.data.preprocess import Preprocess

MOST_CALIBRATION_IMAGES = 300


class _Options(TypedDict, total=False):
    device: str
    precision: Precision
    batch_sizes: int | Sequence[int]
    image_size: int | tuple[int, int]
    threads: int | None
    calibration: Tensor | Array | Iterable[Tensor | Array] | None
    backends: str | Sequence[str] | None
    cache_dir: str | Path | None
    seconds: float
    replan: bool
    progress: Progress | None
    pixels: Preprocess | None


@overload
def accelerate(model: Network, **options: Unpack[_Options]) -> Engine: ...
@overload
def accelerate(model: FeatureNetwork, **options: Unpack[_Options]) -> FeatureEngine: ...
@overload
def accelerate(model: Network | FeatureNetwork, **options: Unpack[_Options]) -> Engine | FeatureEngine: ...
def accelerate(
    model: Network | FeatureNetwork,
    *,
    device: str = "cpu",
    precision: Precision = "fp32",
    batch_sizes: int | Sequence[int] = (1,),
    image_size: int | tuple[int, int] = 224,
    threads: int | None = None,
    calibration: Tensor | Array | Iterable[Tensor | Array] | None = None,
    backends: str | Sequence[str] | None = None,
    cache_dir: str | Path | None = None,
    seconds: float = 10.0,
    replan: bool = False,
    progress: Progress | None = None,
    pixels: Preprocess | None = None,
) -> Engine | FeatureEngine:
    """Return the fastest form of a network on this machine, checked against the network and never slower than it.

    The first time takes minutes: exact rewrites and back ends that make sense are built, checked and timed, and the
    choice is kept on disk. After that it takes a second or two.

    Args:
        model: what to run, at any output stride, in any floating-point dtype; left as it is, and not followed when it
            changes later.
        device: `"cpu"`; `"gpu"` or `"cuda"` for the current NVIDIA GPU; or `"auto"` for that if there is one, and else
            the CPU.
        precision: `"fp32"`; `"bf16"`; on a GPU `"fp16"`; or on the CPU `"int8"`, which needs OpenVINO, NNCF and
            `calibration`.
        batch_sizes: the batch sizes to plan for, or a single one. Others work too, slower. On a GPU each takes memory
            for its activations, which all of them share.
        image_size: pixels, one number or (height, width).
        threads: CPU threads; as many as PyTorch uses now if None.
        calibration: for int8, images prepared as for the network: (K, C, H, W), or several such batches; up to 300
            images are used.
        backends: one or several of `"native"` (our own kernels, compiled here), `"torch"`, `"openvino"`,
            `"onnxruntime"` and for a GPU `"cuda"` (our engine there), to be considered; all that can run here if None.
        cache_dir: where plans and built networks are kept; `engines` in the folder that RESNEXUS_HOME names, or in
            the system's place for caches, if None. What lies there is loaded as code: nobody else may write there.
        seconds: how long each of up to three rounds of timing takes, per batch size.
        replan: search even if there is a plan.
        progress: where to say every step that takes long; nowhere if None.
        pixels: for an engine that is called on uint8 images, cropped but not normalised: whose mean and deviation they
            are normalised with, where the engine runs; on a GPU, where our engine runs there, within its graph. None
            for one that is called on prepared images.

    Returns:
        An `Engine`, called on images for logits; for a network with `features_only`, a `FeatureEngine`, called for the
        list of its maps.

    Raises:
        ResnexusError: a value outside what is stated above, no GPU, a back end that is not installed or cannot do it,
            not enough memory, no space on the disk, or a cache that cannot be read or written, is somebody else's, or
            may be written by others.
    """
    job = _job(model, device, precision, image_size, threads)
    sizes = _batch_sizes(batch_sizes)
    _check_pixels(pixels, model)
    planner = Planner(
        model,
        EngineCache(cache_dir),
        backends=(backends,) if isinstance(backends, str) else backends,
        calibration=_calibration(calibration, job),
        seconds=seconds,
        progress=progress,
    )
    jobs = [replace(job, batch_size=size) for size in sizes]
    return engine_of(model, planner.open(jobs, replan=replan), pixels)


def _check_pixels(pixels: object, model: Network | FeatureNetwork) -> None:
    from resnexus.data.preprocess import Preprocess

    if pixels is None:
        return
    if not isinstance(pixels, Preprocess):
        raise ResnexusError(
            f"pixels={pixels!r}: expected a Preprocess, whose mean and deviation images are normalised with"
        )
    if pixels.in_chans != model.in_chans:
        raise ResnexusError(
            f"pixels normalises {pixels.in_chans} channels, and the network takes {model.in_chans}: give it as many "
            "means"
        )


def _job(
    model: Network | FeatureNetwork,
    device: str,
    precision: Precision,
    image_size: int | tuple[int, int],
    threads: int | None,
) -> Job:
    if not isinstance(model, (Network, FeatureNetwork)):
        raise ResnexusError(
            f"cannot accelerate {type(model).__name__}: expected a network of ours, as create_model(name, "
            "pretrained=...) returns it"
        )
    if isinstance(model, Network) and model.deviation:
        raise ResnexusError(
            f"cannot accelerate {model.architecture.name} with {model.deviation}: leave that out, or use torch.compile"
        )
    kind = device_kind(device)
    if kind == GPU:
        check_gpu()
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)
    return Job(
        batch_size=1,
        in_chans=model.in_chans,
        image_size=_image_size(image_size),
        precision=precision,
        device=kind,
        threads=check_threads(threads),
    )


def _image_size(image_size: int | tuple[int, int]) -> tuple[int, int]:
    sides = (image_size, image_size) if isinstance(image_size, int) else image_size
    if not _are_counts(sides) or len(sides) != 2:
        raise ResnexusError(f"image_size={image_size!r}: expected a whole number of pixels, or (height, width)")
    return sides[0], sides[1]


def _batch_sizes(batch_sizes: int | Sequence[int]) -> list[int]:
    sizes = (batch_sizes,) if isinstance(batch_sizes, int) else batch_sizes
    if not _are_counts(sizes):
        raise ResnexusError(
            f"batch_sizes={batch_sizes!r}: expected whole numbers of at least 1, such as (1, 8), or a single one"
        )
    return sorted(set(sizes))


def _are_counts(values: object) -> bool:
    return (
        isinstance(values, Sequence)
        and len(values) > 0
        and all(isinstance(value, int) and not isinstance(value, bool) and value >= 1 for value in values)
    )


def _calibration(images: Tensor | Array | Iterable[Tensor | Array] | None, job: Job) -> Tensor | None:
    if images is None:
        if job.precision == "int8":
            raise ResnexusError(
                "precision='int8' needs images to calibrate with: give calibration, a few hundred that are like those "
                "to come, prepared in the same way"
            )
        return None
    if job.precision != "int8":
        raise ResnexusError(f"calibration has no effect with precision={job.precision!r}: it is for 'int8'")
    batches = [images] if isinstance(images, (Tensor, np.ndarray)) else images
    found: list[Tensor] = []
    for batch in batches:
        own = batch.cpu() if isinstance(batch, Tensor) else batch
        part = as_images(own, job.shape[1:], "calibration images", "expected")
        found.append(part[: MOST_CALIBRATION_IMAGES - sum(map(len, found))])
        if sum(map(len, found)) >= MOST_CALIBRATION_IMAGES:
            break
    if not sum(map(len, found)):
        raise ResnexusError("calibration holds no image")
    return torch.cat(found).contiguous()
