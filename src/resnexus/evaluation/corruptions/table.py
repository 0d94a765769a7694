"""The corruptions by name, with their five strengths, and how one is applied."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from resnexus.errors import ResnexusError, unknown
from resnexus.evaluation.corruptions import blur, digital, noise, weather

Array = np.ndarray[Any, np.dtype[Any]]

SEVERITIES = (1, 2, 3, 4, 5)


@dataclass(frozen=True, kw_only=True)
class Corruption:
    """One way to make a picture worse.

    Attributes:
        name: as in ImageNet-C.
        family: `"noise"`, `"blur"`, `"weather"` or `"digital"`.
        apply: pixels, the strengths of one severity, random generator -> pixels.
        strengths: for the severities 1 to 5.
        extra: not one of the benchmark's fifteen, but of the four beside them.
        package: that it needs; None for none but those of the core.
    """

    name: str
    family: str
    apply: Callable[..., Array]
    strengths: tuple[tuple[float, ...], ...]
    extra: bool = False
    package: str | None = None

    def __call__(self, pixels: Array, severity: int, seed: int, image: bytes) -> Array:
        """Return a corrupted picture; the same arguments give the same pixels.

        Args:
            pixels: (H, W, C) uint8, C of 1 or 3: what the network sees, already cropped.
            severity: 1 to 5.
            seed: of what is random.
            image: what tells the picture from others, such as its hash.

        Returns:
            (H, W, C) uint8.

        Raises:
            ResnexusError: severity outside 1 to 5.
        """
        check_severity(severity)
        random = np.random.default_rng((seed, severity, zlib.crc32(self.name.encode()), zlib.crc32(image)))
        found = self.apply(pixels / 255, *self.strengths[severity - 1], random)
        return np.rint(found.clip(0, 1) * 255).astype(np.uint8)


def _row(
    apply: Callable[..., Array], *strengths: float | tuple[float, ...], extra: bool = False, package: str | None = None
) -> Corruption:
    levels = tuple(found if isinstance(found, tuple) else (found,) for found in strengths)
    family = apply.__module__.rpartition(".")[2]
    return Corruption(name=apply.__name__, family=family, apply=apply, strengths=levels, extra=extra, package=package)


CORRUPTIONS = MappingProxyType(
    {
        row.name: row
        for row in (
            _row(noise.gaussian_noise, 0.08, 0.12, 0.18, 0.26, 0.38),
            _row(noise.shot_noise, 60, 25, 12, 5, 3),
            _row(noise.impulse_noise, 0.03, 0.06, 0.09, 0.17, 0.27),
            _row(blur.defocus_blur, (3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
            _row(blur.glass_blur, (0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
            _row(blur.motion_blur, (10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
            _row(blur.zoom_blur, (1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
            _row(
                weather.snow,
                (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
                (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
                (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
                (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
                (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
            ),
            _row(weather.frost, (1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
            _row(weather.fog, (1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
            _row(weather.brightness, 0.1, 0.2, 0.3, 0.4, 0.5),
            _row(digital.contrast, 0.4, 0.3, 0.2, 0.1, 0.05),
            _row(
                digital.elastic_transform,
                (2, 0.7, 0.1),
                (2, 0.08, 0.2),
                (0.05, 0.01, 0.02),
                (0.07, 0.01, 0.02),
                (0.12, 0.01, 0.02),
            ),
            _row(digital.pixelate, 0.6, 0.5, 0.4, 0.3, 0.25),
            _row(digital.jpeg_compression, 25, 18, 15, 10, 7),
            _row(noise.speckle_noise, 0.15, 0.2, 0.35, 0.45, 0.6, extra=True),
            _row(blur.gaussian_blur, 1, 2, 3, 4, 6, extra=True),
            _row(
                weather.spatter,
                (0.65, 0.3, 4, 0.69, 0.6, False),
                (0.65, 0.3, 3, 0.68, 0.6, False),
                (0.65, 0.3, 2, 0.68, 0.5, False),
                (0.65, 0.3, 1, 0.65, 1.5, True),
                (0.67, 0.4, 1, 0.65, 1.5, True),
                extra=True,
                package="cv2",
            ),
            _row(digital.saturate, (0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2), extra=True),
        )
    }
)
"""By name, in the order of the benchmark."""


def find_corruption(name: str) -> Corruption:
    """Return a corruption by name.

    Raises:
        ResnexusError: there is none of that name.
    """
    if name not in CORRUPTIONS:
        raise unknown("corruption", name, CORRUPTIONS)
    return CORRUPTIONS[name]


def check_severity(severity: int) -> None:
    """Refuse a severity that there is not.

    Raises:
        ResnexusError: it is outside 1 to 5.
    """
    if severity not in SEVERITIES:
        raise ResnexusError(f"severity={severity}: expected 1 to 5")
