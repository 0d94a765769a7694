"""The training transform: random crop, flip and shift as a pure function of the image and a random generator."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from resnexus.data.images import enough_memory
from resnexus.data.policies import MAX_MAGNITUDE, MAX_OPERATIONS, POLICIES, Policy, changed, erased
from resnexus.data.preprocess import AnyImage, Preprocess
from resnexus.data.sources import name_of
from resnexus.errors import ResnexusError, unknown

Array = np.ndarray[Any, np.dtype[Any]]


class Crop(NamedTuple):
    """A rectangle of an image, in pixels."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True, kw_only=True)
class Augment:
    """What happens to a training image at random; the defaults are those of the published series.

    Attributes:
        crop_area: smallest and largest area of the random crop as a fraction of the image, or None for the centre
            crop of the evaluation transform.
        crop_aspect: smallest and largest width / height of the crop, drawn uniformly (not log-uniformly).
        flip: probability of a left-right flip.
        shift: largest translation in pixels, down and across, after the crop; what enters is black. For small images
            such as digits, where a crop or a flip would change what is seen.
        size: side of the result in pixels; that of the evaluation transform if None.
        policy: what further happens to the pixels, of `POLICIES`.
        policy_magnitude: of RandAugment, 0 to 30 as in torchvision, where 30 turns by 30 degrees; 3 times timm's.
        policy_operations: of RandAugment, per image, 1 to 10.
        erasing: probability of erasing a rectangle at the end.

    Raises:
        ResnexusError: a value is outside what is stated above.
    """

    crop_area: tuple[float, float] | None = (0.08, 1.0)
    crop_aspect: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5
    shift: int = 0
    size: int | None = None
    policy: Policy = "none"
    policy_magnitude: int = 9
    policy_operations: int = 2
    erasing: float = 0.0

    def __post_init__(self) -> None:
        for field, largest in (("crop_area", 1.0), ("crop_aspect", math.inf)):
            limits = getattr(self, field)
            if limits is None and field == "crop_area":
                continue
            if not (isinstance(limits, (tuple, list)) and len(limits) == 2 and 0 < limits[0] <= limits[1] <= largest):
                below = " <= 1" if field == "crop_area" else ""
                raise ResnexusError(f"{field}={limits!r}: expected (smallest, largest), 0 < smallest <= largest{below}")
            object.__setattr__(self, field, tuple(limits))
        for field in ("flip", "erasing"):
            if not 0 <= getattr(self, field) <= 1:
                raise ResnexusError(f"{field}={getattr(self, field)!r}: expected a probability from 0 to 1")
        if self.policy not in POLICIES:
            raise unknown("policy", self.policy, POLICIES)
        if isinstance(self.shift, bool) or not isinstance(self.shift, int) or self.shift < 0:
            raise ResnexusError(f"shift={self.shift!r}: expected a whole number of pixels, at least 0")
        for field, least, most in (("policy_magnitude", 0, MAX_MAGNITUDE), ("policy_operations", 1, MAX_OPERATIONS)):
            value = getattr(self, field)
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise ResnexusError(f"{field}={value!r}: expected a whole number from {least} to {most}")

    def __call__(self, image: AnyImage, preprocess: Preprocess, random: np.random.Generator) -> Tensor:
        """Return the (in_chans, size, size) float32 input for one training image.

        Args:
            image: what `Preprocess` accepts.
            preprocess: gives size, interpolation and normalisation.
            random: where all randomness comes from; its state advances.

        Raises:
            ImageError: the file cannot be decoded, or the memory does not suffice.
        """
        with enough_memory(name_of(image)):
            if self.size is not None and self.size != preprocess.size:
                short = max(self.size, preprocess.resize_short)
                preprocess = replace(preprocess, size=self.size, resize_short=short)
            result = preprocess.normalise(self.view(preprocess.pixels(image), preprocess, random))
            return erased(result, random) if self.erasing and random.random() < self.erasing else result

    def view(self, pixels: Array, preprocess: Preprocess, random: np.random.Generator) -> Array:
        """Crop, flip, shift and apply the policy: (H, W, C) -> (size, size, C) uint8, with the size of `preprocess`.

        What a call normalises; arguments as for one.
        """
        pixels = self.pixels(pixels, preprocess, random)
        if self.policy != "none":
            pixels = changed(pixels, self.policy, self.policy_magnitude, self.policy_operations, random)
        return pixels

    def pixels(self, pixels: Array, preprocess: Preprocess, random: np.random.Generator) -> Array:
        """Crop, flip and shift: (H, W, C) -> (size, size, C) uint8; arguments as for a call."""
        if self.crop_area is None:
            pixels = preprocess.frame(pixels)
        else:
            top, left, height, width = self.crop(pixels.shape[0], pixels.shape[1], random)
            pixels = preprocess.resize(pixels[top : top + height, left : left + width], (preprocess.size,) * 2)
        if random.random() < self.flip:
            pixels = pixels[:, ::-1]
        if self.shift:
            pixels = shifted(pixels[None], self.shift, random)[0]
        return pixels

    def crop(self, height: int, width: int, random: np.random.Generator) -> Crop:
        """Draw a crop of an image of height x width pixels.

        The aspect r is drawn first; a crop of that aspect fits as long as its area is at most
        min(width / (r height), r height / width) of the image. The area is drawn from `crop_area` cut down to that
        limit (or is the limit, where it lies below both), so no draw is ever repeated. Sides round down, to at least
        one pixel.
        """
        least, most = self.crop_area or (1.0, 1.0)
        aspect = random.uniform(*self.crop_aspect)
        limit = min(width / (aspect * height), aspect * height / width)
        area = height * width * random.uniform(min(least, limit), min(most, limit))
        crop_width = min(width, max(1, int(math.sqrt(area * aspect))))
        crop_height = min(height, max(1, int(math.sqrt(area / aspect))))
        top = int(random.integers(height - crop_height, endpoint=True))
        left = int(random.integers(width - crop_width, endpoint=True))
        return Crop(top, left, crop_height, crop_width)


def shifted(pixels: Array, limit: int, random: np.random.Generator) -> Array:
    """Translate every image by its own -limit .. limit pixels down and across; what enters is black.

    Args:
        pixels: (N, H, W, C).
        limit: largest translation in pixels.
        random: where the translations come from.

    Returns:
        A new array of the same shape and dtype.
    """
    count, height, width = pixels.shape[:3]
    padded = np.pad(pixels, ((0, 0), (limit, limit), (limit, limit), (0, 0)))
    down, across = random.integers(2 * limit, size=(2, count, 1, 1), endpoint=True)
    images = np.arange(count)[:, None, None]
    result: Array = padded[images, down + np.arange(height)[:, None], across + np.arange(width)]
    return result
