"""Weather: snow, frost, fog, glare, and what is sprayed on the lens."""

from __future__ import annotations

from typing import Any

import numpy as np

from resnexus.evaluation.corruptions.colour import luma, with_value
from resnexus.evaluation.corruptions.ice import ice
from resnexus.evaluation.corruptions.plasma import cloud
from resnexus.evaluation.corruptions.smoothing import enlarged, smoothed, streaked
from resnexus.packages import required

Array = np.ndarray[Any, np.dtype[Any]]

_WATER = np.array([175, 238, 238]) / 255  # pale turquoise
_MUD = np.array([63, 42, 20]) / 255
_EDGES = (50, 150)  # of Canny's detector: the gradients that may and that must be an edge
_FARTHEST = 20  # pixels from the edge of a drop, from which on it is no thicker
_LIGHT = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]], dtype=np.float32)  # from the lower right
_OPAQUE = 0.8  # of mud: where it is thinner there is none


def frost(pixels: Array, kept: float, added: float, random: np.random.Generator) -> Array:
    """Lay ice over the picture: kept x picture + added x ice.

    The authors lay parts of six photographs of frost over it. Those are not ours to ship, so the ice is drawn, see
    `ice.ice`; the shares are the authors', and accuracies under it compare with each other alone.
    """
    height, width, channels = pixels.shape
    pane = ice(height, width, random)
    found: Array = kept * pixels + added * (pane if channels == 3 else luma(pane))
    return found


def fog(pixels: Array, thickness: float, decay: float, random: np.random.Generator) -> Array:
    """Add a cloud, a plasma fractal whose detail shrinks by `decay`, and keep the brightest value as it is."""
    height, width = pixels.shape[:2]
    brightest = pixels.max()
    veil = cloud(height, width, decay, random)[..., None]
    found: Array = (pixels + thickness * veil) * brightest / (brightest + thickness)
    return found


def snow(
    pixels: Array,
    mean: float,
    spread: float,
    size: float,
    threshold: float,
    radius: int,
    sigma: float,
    kept: float,
    random: np.random.Generator,
) -> Array:
    """Add falling flakes, and the same turned round, to a picture that is brighter and greyer."""
    flakes = enlarged(random.normal(mean, spread, size=(*pixels.shape[:2], 1)), size)
    flakes[flakes < threshold] = 0
    flakes = streaked(flakes.clip(0, 1), radius, sigma, random.uniform(-135, -45))
    white = kept * pixels + (1 - kept) * np.maximum(pixels, luma(pixels) * 1.5 + 0.5)
    found: Array = white + flakes + np.flip(flakes, (0, 1))
    return found


def brightness(pixels: Array, added: float, random: np.random.Generator) -> Array:
    """Add to the value of HSV, which keeps hue and saturation."""
    return with_value(pixels, (pixels.max(axis=2, keepdims=True) + added).clip(0, 1))


def spatter(
    pixels: Array,
    mean: float,
    spread: float,
    sigma: float,
    threshold: float,
    strength: float,
    mud: bool,
    random: np.random.Generator,
) -> Array:
    """Spray water on the lens, which shines, or mud, which hides.

    A normal field is smoothed, and what is above the threshold is liquid.

    Args:
        pixels: as for the others.
        mean: of the field.
        spread: of the field, its standard deviation.
        sigma: of the smoothing, in pixels.
        threshold: see above.
        strength: how bright water is at its brightest; of mud, by how many pixels its edges are smoothed.
        mud: or water, for which OpenCV finds and shades the drops.
        random: as for the others.

    Raises:
        MissingPackageError: OpenCV is not installed.
    """
    liquid = smoothed(random.normal(mean, spread, size=pixels.shape[:2]), sigma)
    liquid[liquid < threshold] = 0
    colour = (_MUD if mud else _WATER)[None, None]
    colour = colour if pixels.shape[2] == 3 else luma(colour)
    if not mud:
        return pixels + strength * _shine(liquid)[..., None] * colour
    cover = smoothed((liquid > threshold).astype(np.float64), strength)[..., None]
    cover[cover < _OPAQUE] = 0
    found: Array = (1 - cover) * pixels + cover * colour
    return found


def _shine(liquid: Array) -> Array:
    """Return (H, W) in 0..1: how bright water is, thicker away from the edges of a drop and lit from one side."""
    cv2 = required("cv2")
    drops = (liquid.clip(0, 1) * 255).astype(np.uint8)
    inside = cv2.distanceTransform(255 - cv2.Canny(drops, *_EDGES), cv2.DIST_L2, 5)
    inside = cv2.equalizeHist(cv2.blur(np.minimum(inside, _FARTHEST), (3, 3)).astype(np.uint8))
    shaded = cv2.blur(cv2.filter2D(inside, cv2.CV_8U, _LIGHT), (3, 3))
    found: Array = drops * shaded.astype(np.float64)
    return found / max(1.0, found.max())
