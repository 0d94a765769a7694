"""The one transform between a decoded image and a network's input, for evaluation, serving and export alike."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from resnexus.data.images import as_rgb, enough_memory, load_pixels
from resnexus.data.resizing import antialiased, linear
from resnexus.data.sources import Source, name_of
from resnexus.errors import ResnexusError, unknown

Array = np.ndarray[Any, np.dtype[Any]]
Interpolation = Literal["bilinear", "bicubic"]
AnyImage: TypeAlias = Source | Image.Image | Array

MAX_SIZE = 4096


@dataclass(frozen=True, kw_only=True)
class Preprocess:
    """Resize the short side, crop the centre, normalise: the evaluation transform.

    The defaults are those of the published series. The 8-bit result equals OpenCV's INTER_LINEAR bit for bit without
    antialias, and is Pillow's own with it. Without, only the crop is computed, so an image of 1 x 10000 costs no more
    than any other. Calling the record on an image gives (channels, size, size) float32.

    Attributes:
        size: side of the crop in pixels.
        resize_short: length of the short side after the resize, at least `size`.
        interpolation: `"bilinear"`, or `"bicubic"`, which needs `antialias`.
        antialias: average over all pixels that an output pixel covers. The published accuracies are without.
        mean: of the intensities in 0..1, per channel: three numbers for RGB, one for grey images.
        std: standard deviation likewise.

    Raises:
        ResnexusError: a value is outside what is stated above.
    """

    size: int = 224
    resize_short: int = 256
    interpolation: Interpolation = "bilinear"
    antialias: bool = False
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)

    def __post_init__(self) -> None:
        for field in ("size", "resize_short"):
            value = getattr(self, field)
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_SIZE:
                raise ResnexusError(f"{field}={value!r}: expected a whole number of pixels from 1 to {MAX_SIZE}")
        if self.resize_short < self.size:
            raise ResnexusError(
                f"resize_short={self.resize_short} is less than size={self.size}: the crop must fit, "
                "so make it at least size"
            )
        if self.interpolation not in get_args(Interpolation):
            raise unknown("interpolation", self.interpolation, get_args(Interpolation))
        if not isinstance(self.antialias, bool):
            raise ResnexusError(f"antialias={self.antialias!r}: expected True or False")
        if self.interpolation == "bicubic" and not self.antialias:
            raise ResnexusError("interpolation='bicubic' is offered with antialias=True only")
        for field in ("mean", "std"):
            object.__setattr__(self, field, _floats(field, getattr(self, field)))
        if len(self.mean) != len(self.std) or len(self.mean) not in (1, 3):
            raise ResnexusError(f"mean={self.mean} and std={self.std}: give three numbers each, or one for grey images")
        if min(self.std) <= 0:
            raise ResnexusError(f"std={self.std}: expected positive numbers")

    @property
    def in_chans(self) -> int:
        """Channels of the result: 3, or 1 for grey images."""
        return len(self.mean)

    def __call__(self, image: AnyImage) -> Tensor:
        """Return the (in_chans, size, size) float32 input for one image.

        Args:
            image: a PIL image, an (H, W, 3) RGB or (H, W) grey uint8 array, or what `load_image` reads.

        Raises:
            ImageError: the file cannot be decoded, with antialias its aspect is absurd, or the memory does not suffice.
            ResnexusError: an array of another shape or dtype, or an object of another type.
        """
        with enough_memory(name_of(image)):
            return self.normalise(self.frame(self.pixels(image)))

    def pixels(self, image: AnyImage) -> Array:
        """Return an image as a (H, W, in_chans) uint8 array, neither resized nor cropped; errors as for a call."""
        if isinstance(image, Tensor):
            raise ResnexusError(
                f"image of type Tensor and shape {tuple(image.shape)}: expected a PIL image, a uint8 array or a file; "
                "for a (3, H, W) uint8 tensor give tensor.permute(1, 2, 0).numpy()"
            )
        if isinstance(image, np.ndarray):
            _check_array(image)
            pixels = image if image.ndim == 3 else np.asarray(as_rgb(Image.fromarray(image)))
        elif isinstance(image, Image.Image):
            pixels = np.asarray(as_rgb(image))
        else:
            pixels = load_pixels(image)
        return pixels if self.in_chans == 3 else np.asarray(Image.fromarray(pixels).convert("L"))[:, :, None]

    def frame(self, pixels: Array) -> Array:
        """Resize the short side to `resize_short` and crop the centre: (H, W, C) -> (size, size, C) uint8."""
        height, width = pixels.shape[:2]
        scale = self.resize_short / min(height, width)
        # Python's round, half to even, as the original does.
        resized = round(height * scale), round(width * scale)
        return self.resize(pixels, resized, ((resized[0] - self.size) // 2, (resized[1] - self.size) // 2))

    def resize(self, pixels: Array, resized: tuple[int, int], corner: tuple[int, int] = (0, 0)) -> Array:
        """Resize and return a square of the result; without antialias nothing else of it is computed.

        Args:
            pixels: (H, W, C) uint8.
            resized: (height, width) of the whole result.
            corner: (top, left) of the square in it.

        Returns:
            (size, size, C) uint8.

        Raises:
            ImageError: with antialias, the whole result has more than `MAX_PIXELS` pixels.
        """
        if self.antialias:
            return antialiased(pixels, resized, corner, self.size, Image.Resampling[self.interpolation.upper()])
        return linear(pixels, resized, corner, self.size)

    def normalise(self, pixels: Array) -> Tensor:
        """(..., H, W, C) uint8 -> (..., C, H, W) float32: (pixels / 255 - mean) / std."""
        # NumPy reads a mirrored image in place; PyTorch takes no negative strides.
        x = np.moveaxis(pixels, -1, -3).astype(np.float32, order="C")
        mean, std = (np.array(numbers, np.float32)[:, None, None] for numbers in (self.mean, self.std))
        x *= np.float32(1 / 255)
        x -= mean
        x /= std
        return torch.from_numpy(x)

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON can hold it."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def _floats(field: str, values: object) -> tuple[float, ...]:
    try:
        numbers = tuple(float(value) for value in values)  # type: ignore[attr-defined]
    except (TypeError, ValueError) as error:
        raise ResnexusError(f"{field}={values!r}: expected numbers, one per channel") from error
    if not all(map(math.isfinite, numbers)):
        raise ResnexusError(f"{field}={values!r}: expected finite numbers")
    return numbers


def _check_array(image: Array) -> None:
    if image.dtype != np.uint8 or image.shape[2:] not in ((), (3,)) or image.ndim < 2 or image.size == 0:
        raise ResnexusError(
            f"image of shape {image.shape} and dtype {image.dtype}: expected uint8, (H, W, 3) for RGB, (H, W) for grey"
        )
