"""What cameras, screens and files do: contrast, saturation, rubber, large pixels, compression."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from resnexus.evaluation.corruptions.colour import with_saturation
from resnexus.evaluation.corruptions.smoothing import sampled, smoothed

Array = np.ndarray[Any, np.dtype[Any]]


def contrast(pixels: Array, factor: float, random: np.random.Generator) -> Array:
    """Draw every channel towards its mean."""
    mean = pixels.mean(axis=(0, 1), keepdims=True)
    found: Array = (pixels - mean) * factor + mean
    return found


def saturate(pixels: Array, factor: float, added: float, random: np.random.Generator) -> Array:
    """Change the saturation of HSV; a grey picture has none and stays."""
    return pixels if pixels.shape[2] == 1 else with_saturation(pixels, factor, added)


def elastic_transform(
    pixels: Array, strength: float, sigma: float, corners: float, random: np.random.Generator
) -> Array:
    """Bend the picture: three of its points move by up to `corners`, and every pixel by a smooth random field.

    Args:
        pixels: as for the others.
        strength: of the field, in sides of the picture.
        sigma: of its smoothing, in sides; the authors write 244 pixels for one.
        corners: in sides.
        random: as for the others.
    """
    height, width = pixels.shape[:2]
    side = min(height, width)
    third, centre = side // 3, np.array([width, height]) / 2
    points = centre + third * np.array([[1, 1], [1, -1], [-1, -1]])
    moved = points + random.uniform(-corners * side, corners * side, size=(3, 2))
    # The affine map that takes the moved points back: where every pixel comes from.
    back = np.linalg.solve(np.hstack([moved, np.ones((3, 1))]), points)
    y, x = np.mgrid[:height, :width].astype(np.float64)
    bend_x, bend_y = (
        smoothed(random.uniform(-1, 1, (height, width)), sigma * side, "mirror", truncate=3) * strength * side
        for _ in range(2)
    )
    x, y = x + bend_x, y + bend_y
    from_x, from_y = (back[0, i] * x + back[1, i] * y + back[2, i] for i in range(2))
    return sampled(pixels, _mirrored(from_y, height), _mirrored(from_x, width))


def pixelate(pixels: Array, share: float, random: np.random.Generator) -> Array:
    """Shrink the picture by averaging, to `share` of its sides, and enlarge it by repeating."""
    height, width = pixels.shape[:2]
    small = _as_image(pixels).resize((max(1, int(width * share)), max(1, int(height * share))), Image.Resampling.BOX)
    return _as_array(small.resize((width, height), Image.Resampling.NEAREST), pixels.shape)


def jpeg_compression(pixels: Array, quality: int, random: np.random.Generator) -> Array:
    """Write the picture as JPEG of a low quality and read it."""
    file = BytesIO()
    _as_image(pixels).save(file, "JPEG", quality=quality)
    with Image.open(file) as image:
        return _as_array(image, pixels.shape)


def _mirrored(places: Array, length: int) -> Array:
    """Return places within 0 .. length - 1, mirrored at both ends as often as needed."""
    period = 2 * max(1, length - 1)
    places = np.abs(places) % period
    return np.minimum(places, period - places)


def _as_image(pixels: Array) -> Image.Image:
    values = np.rint(pixels * 255).astype(np.uint8)
    return Image.fromarray(values if values.shape[2] == 3 else values[:, :, 0])


def _as_array(image: Image.Image, shape: tuple[int, ...]) -> Array:
    return np.asarray(image, dtype=np.float64).reshape(shape) / 255
