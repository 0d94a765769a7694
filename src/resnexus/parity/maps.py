"""Feature maps beside what the original recorded of its stages: mean and standard deviation of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from resnexus.architectures.catalog import architecture
from resnexus.architectures.dilation import resolved_output_stride
from resnexus.architectures.features import resolved_indices
from resnexus.architectures.spec import Architecture
from resnexus.errors import ResnexusError
from resnexus.parity.agreement import FLOAT32_TOLERANCE, FLOAT64_TOLERANCE
from resnexus.parity.golden import IMAGE_SIZES, golden, golden_features, golden_images
from resnexus.parity.verify import unrecorded

Candidate = Callable[[Tensor], Sequence[Tensor]]


@dataclass(frozen=True, kw_only=True)
class MapCheck:
    """One feature map beside the original's stage at one image size.

    Attributes:
        index: number of the map, 1 for the first stage.
        image_size: (height, width).
        dtype: `"float64"` or `"float32"`.
        difference: of the means or of the standard deviations, the larger, over the original's standard deviation.
        tolerance: what it may be.
    """

    index: int
    image_size: tuple[int, int]
    dtype: str
    difference: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the map agrees within the tolerance; never for nan."""
        return self.difference <= self.tolerance


def verify_maps(
    model: str | Architecture,
    out_indices: Sequence[int] = (1, 2, 3, 4),
    output_stride: int | None = None,
    candidate: Candidate | None = None,
    *,
    dtype: torch.dtype = torch.float64,
    tolerance: float | None = None,
    image_sizes: Sequence[tuple[int, int]] = IMAGE_SIZES,
) -> list[MapCheck]:
    """Compare feature maps with the recorded stages of the original implementation.

    Of a dilated network, those pixels of a map are compared that the plain network has, too: see
    `resnexus.architectures.dilation`.

    Args:
        model: a network of the series, or a row that is one.
        out_indices: the maps, of 1 to 4.
        output_stride: of the network; the row's own if None.
        candidate: (N, 3, H, W) `dtype` images -> the list of these maps, with the golden weights in it: a compiled or
            exported network, an engine, another library's. None checks our own network.
        dtype: of the images, and of our own network.
        tolerance: 1e-9 for float64, 1e-4 otherwise, if None.
        image_sizes: of `golden.IMAGE_SIZES`.

    Raises:
        ResnexusError: nothing is recorded for the network, a map or a size; gates with dilation, which make another
            function; or maps of other shapes than the original's.
    """
    row = architecture(model)
    if missing := unrecorded(row):
        raise ResnexusError(missing.reason)
    indices = resolved_indices(out_indices, len(row.depths) + 1)
    if 0 in indices:
        raise ResnexusError("map 0: the original recorded its stages, maps 1 to 4, and nothing of the stem")
    stride = resolved_output_stride(row, output_stride)
    if row.se_reduction is not None and stride != row.reductions[-1]:
        raise ResnexusError(
            f"{row.name} with output_stride={stride} cannot be compared with the original: a gate is a mean over the "
            "image, and that of the finer grid is another"
        )
    if tolerance is None:
        tolerance = FLOAT64_TOLERANCE if dtype == torch.float64 else FLOAT32_TOLERANCE
    subject = golden_features(row, indices, stride, dtype) if candidate is None else candidate
    found = []
    for size in image_sizes:
        with torch.inference_mode():
            maps = subject(torch.from_numpy(golden_images(size)).to(dtype))
        if len(maps) != len(indices):
            raise ResnexusError(f"expected maps {', '.join(map(str, indices))}, found {len(maps)}")
        stages = golden(row.name, size).stages
        for index, feature in zip(indices, maps, strict=True):
            apart = max(1, row.reductions[index - 1] // stride)
            difference = _difference(index, feature[..., ::apart, ::apart], stages[index - 1])
            name = str(dtype).removeprefix("torch.")
            check = MapCheck(index=index, image_size=size, dtype=name, difference=difference, tolerance=tolerance)
            found.append(check)
    return found


def _difference(index: int, feature: Tensor, recorded: np.ndarray) -> float:
    *shape, mean, deviation = recorded.tolist()
    if list(feature.shape) != shape:
        expected = tuple(map(int, shape))
        raise ResnexusError(f"map {index} is {tuple(feature.shape)} where the original's is {expected}")
    values = feature.double()
    return max(abs(float(values.mean()) - mean), abs(float(values.std(correction=0)) - deviation)) / deviation
