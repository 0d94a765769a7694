"""Golden weights and inputs from a formula, and the logits that the original implementation gives for them.

The logits were computed in float64 by PaddleClas on paddlepaddle 3.3.1. NumPy's legacy generator never changes, so
weights and inputs are the same everywhere and need not be stored.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
import torch

from resnexus.architectures.network import FeatureNetwork, Network
from resnexus.architectures.spec import Architecture
from resnexus.errors import ResnexusError
from resnexus.weights.layouts import PADDLE
from resnexus.weights.mapping import from_layout, stored_shapes

Array = np.ndarray[Any, np.dtype[Any]]

IMAGE_SIZES = ((224, 224), (97, 131))


@dataclass(frozen=True)
class Golden:
    """What the original computes for the golden weights on the golden images of one size.

    Attributes:
        logits: (2, 1000) float64.
        stages: per stage output, its (N, C, H, W, mean, standard deviation).
    """

    logits: Array
    stages: tuple[Array, ...]


def golden(name: str, image_size: tuple[int, int] = (224, 224)) -> Golden:
    """Return the recorded output of the original network `name`.

    Raises:
        ResnexusError: nothing is recorded for that network or size.
    """
    if image_size not in IMAGE_SIZES:
        raise ResnexusError(f"image_size={image_size}: golden logits exist for {IMAGE_SIZES[0]} and {IMAGE_SIZES[1]}")
    path = files("resnexus.parity") / "golden" / f"{name}.npz"
    if not path.is_file():
        raise ResnexusError(f"no golden logits for {name!r}: they exist for the 24 networks of the series")
    key = f"{image_size[0]}x{image_size[1]}"
    with path.open("rb") as file, np.load(file) as arrays:
        return Golden(arrays[f"logits_{key}"], tuple(arrays[f"stage{stage}_{key}"] for stage in range(4)))


def golden_network(row: Architecture, dtype: torch.dtype = torch.float32, output_stride: int | None = None) -> Network:
    """Return a network with the golden weights, in evaluation mode, on the CPU.

    They are the same on every machine, and activations and logits of ordinary size at every depth, so that agreement
    means something; any row can have them, of which the 24 networks of the series have golden logits.
    """
    with torch.device("meta"):
        network = Network(row, output_stride=output_stride)
    network.load_state_dict(_golden_state(row, dtype), assign=True)
    return network.eval()


def golden_features(
    row: Architecture,
    out_indices: Sequence[int] | None = None,
    output_stride: int | None = None,
    dtype: torch.dtype = torch.float32,
) -> FeatureNetwork:
    """Return a network of feature maps with the golden weights, in evaluation mode, on the CPU.

    Args:
        row: of the network.
        out_indices: as for `FeatureNetwork`.
        output_stride: as for `FeatureNetwork`.
        dtype: of the weights.

    Raises:
        ResnexusError: no such map or output stride.
    """
    with torch.device("meta"):
        network = FeatureNetwork(row, out_indices, output_stride=output_stride)
    state = _golden_state(row, dtype)
    network.load_state_dict({name: state[name] for name in network.state_dict()}, assign=True)
    return network.eval()


def _golden_state(row: Architecture, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    weights = golden_weights(stored_shapes(PADDLE, row))
    state = from_layout(PADDLE, row, {name: torch.from_numpy(array) for name, array in weights.items()})
    return {name: value.to(dtype) if value.is_floating_point() else value for name, value in state.items()}


def golden_weights(shapes: Mapping[str, tuple[int, ...]], seed: int = 0) -> dict[str, Array]:
    """Return float32 weights for entries in Paddle's names and layout.

    Every entry has its own generator, seeded with crc32(name) + seed, so neither order nor neighbours matter.

    Args:
        shapes: entry name -> shape.
        seed: 0 for the weights behind the recorded logits.
    """
    return {name: _golden_entry(name, tuple(shape), seed) for name, shape in shapes.items()}


def _golden_entry(name: str, shape: tuple[int, ...], seed: int) -> Array:
    random = np.random.RandomState((zlib.crc32(name.encode()) + seed) % 2**32)
    if name.endswith("._variance"):
        values = random.uniform(0.5, 1.5, shape)
    elif "_batch_norm" in name and name.endswith(".weight"):
        values = random.uniform(0.5, 0.9, shape)
    else:
        values = random.standard_normal(shape)  # scaled in place: large entries are slow to allocate
        if name.endswith(("._mean", ".bias")):
            values *= 0.02
        elif len(shape) == 4:
            values *= np.sqrt(2 / np.prod(shape[1:]))
        else:
            values *= 1 if name.startswith("out.") else 4
            values /= np.sqrt(shape[0])
    return values.astype(np.float32)


def golden_images(image_size: tuple[int, int] = (224, 224), seed: int = 0) -> Array:
    """Return (2, 3, H, W) float32 images: per channel four plane waves and an offset, then noise over all."""
    height, width = image_size
    random = np.random.RandomState(seed + 1000 * height + width)
    down = (np.arange(height) / height)[:, None]
    across = (np.arange(width) / width)[None, :]
    images = np.zeros((2, 3, height, width))
    for image in images:
        for channel in image:
            for _ in range(4):
                rows, columns = random.uniform(0, 6), random.uniform(0, 6)
                phase, amplitude = random.uniform(0, 2 * np.pi), random.uniform(0.3, 1.0)
                channel += amplitude * np.sin(2 * np.pi * (rows * down + columns * across) + phase)
            channel += random.uniform(-1, 1)
    images += 0.2 * random.standard_normal(images.shape)
    return images.astype(np.float32)
