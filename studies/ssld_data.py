"""The pictures of `studies.ssld`: who has labels, who has none, and who is evaluated on, drawn anew for every seed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from resnexus.data.digits import CLASSES
from resnexus.distillation.embedded import EMBEDDED, Source, divided, write_embedded
from resnexus.packages import required

WITHOUT = "without-dedupe"
"""The arm that only data sets have of which copies are looked for."""
PHOTOGRAPHS = ("brick", "grass", "gravel")
PATCH, GAP, LABELLED = 32, 32, 5
"""Side of a patch, pixels between the halves of a photograph, and patches of each class that keep their label."""


@dataclass(frozen=True, kw_only=True)
class Data:
    """A data set of the study.

    Attributes:
        what: it is, in the table.
        write: writes `labelled/train/CLASS/`, `labelled/val/CLASS/` and `pool/` for a seed; returns a digest.
        images: how they are prepared, as settings of a recipe.
        per_class: pictures that are mined of each class at most.
        teacher: what differs from the recipe `distil` for the teacher.
        stage1: likewise for the student.
        stage2: what differs from `distil-finetune`.
        dedupe: whether copies of the pictures to evaluate on are looked for: of 8x8 pixels, two digits of one class
            are as alike as copies of larger pictures.
        planted: whether the pool holds copies of them that were put there.
        elsewhere: whether the teacher learned from more labels, as published teachers did, those of pictures that no
            student sees: they lie in `elsewhere/train/CLASS/`.
        arms: that are measured; empty for all.
    """

    what: str
    write: Callable[[Path, int], str]
    images: dict[str, Any]
    per_class: int
    teacher: dict[str, Any]
    stage1: dict[str, Any]
    stage2: dict[str, Any] = field(default_factory=lambda: {"epochs": 15})
    dedupe: bool = True
    planted: bool = False
    elsewhere: bool = False
    arms: tuple[str, ...] = ()

    def has(self, arm: str) -> bool:
        """Whether an arm is measured: where no copies are looked for, SSLD without dedupe is SSLD."""
        return (not self.arms or arm in self.arms) and (self.dedupe or arm != WITHOUT)


def _embedded(name: str) -> Callable[[Path, int], str]:
    return lambda out, seed: write_embedded(name, out, seed=seed).digest


def halved(source: Source) -> Callable[[Path, int], str]:
    """Return what writes an embedded data set with every second picture of the pool in the teacher's folder instead."""

    def write(out: Path, seed: int) -> str:
        (pixels, labels), digest = source.load(), hashlib.sha256()
        pooled = 0
        for place, index in sorted(divided(labels, source, seed).items()):
            part, label = place.split("/")[0], CLASSES[labels[index]]
            if part == "all":
                continue
            if part == "pool":
                pooled += 1
            if part == "pool" and pooled % 2:
                place = f"elsewhere/train/{label}/{index:05d}.png"
            _save(pixels[index], out / place, digest)
            if part == "labelled":
                _save(pixels[index], out / place.replace("labelled", "elsewhere", 1), digest)
        return digest.hexdigest()

    return write


def _textures(out: Path, seed: int) -> str:
    """Write patches of photographs: of the upper half to learn from, of the lower half to evaluate on."""
    random, digest = np.random.default_rng(seed), hashlib.sha256()
    hidden = []
    for name in PHOTOGRAPHS:
        # scikit-image is not imported: it would bring scipy and more along for three files.
        path = Path(required("skimage").__file__).parent / "data" / f"{name}.png"
        pixels = np.asarray(Image.open(path).convert("L"))
        half = (pixels.shape[0] - GAP) // 2
        upper, lower = patches(pixels[:half]), patches(pixels[half + GAP :])
        order = random.permutation(len(upper)).tolist()
        for number, index in enumerate(order[:LABELLED]):
            _save(upper[index], out / "labelled" / "train" / name / f"{number:03d}.png", digest)
        for number, patch in enumerate(lower):
            _save(patch, out / "labelled" / "val" / name / f"{number:03d}.png", digest)
        hidden += [upper[index] for index in order[LABELLED:]]
    for number, index in enumerate(random.permutation(len(hidden)).tolist()):
        _save(hidden[index], out / "pool" / f"{number:04d}.png", digest)
    return digest.hexdigest()


def _textures_with_copies(out: Path, seed: int) -> str:
    """Write the same, and every patch to evaluate on a second time, saved as JPEG, among those without labels."""
    digest = _textures(out, seed)
    for number, path in enumerate(sorted((out / "labelled" / "val").rglob("*.png"))):
        Image.open(path).save(out / "pool" / f"copy{number:04d}.jpg", quality=90)
    return f"{digest}, with copies"


def patches(pixels: np.ndarray[Any, np.dtype[Any]]) -> list[np.ndarray[Any, np.dtype[Any]]]:
    """Return the squares that a picture is cut into; what is left over at its edges is in none."""
    rows, columns = pixels.shape[0] // PATCH, pixels.shape[1] // PATCH
    return [
        pixels[PATCH * row : PATCH * (row + 1), PATCH * column : PATCH * (column + 1)]
        for row in range(rows)
        for column in range(columns)
    ]


def _save(patch: np.ndarray[Any, np.dtype[Any]], path: Path, digest: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(patch).save(path)
    digest.update(patch.tobytes())


def _images(size: int, **changes: Any) -> dict[str, Any]:
    sizes = {"image_size": size, "eval_size": size, "resize_short": size}
    return sizes | {"crop_area": [0.6, 1.0], "crop_aspect": [0.85, 1.18], "flip": 0} | changes


DATA = {
    "digits": Data(
        what="scikit-learn's digits, 8x8 pixels: 100 labelled, 1,337 without labels, 360 to evaluate on",
        write=_embedded("digits"),
        images=_images(8),
        per_class=150,
        teacher={"epochs": 100},
        stage1={"epochs": 15},
        dedupe=False,
    ),
    "mnist5k": Data(
        what="5,000 digits of MNIST, at 14x14 pixels: 500 labelled, 3,500 without labels, 1,000 to evaluate on",
        write=_embedded("mnist5k"),
        images=_images(14, antialias=True),
        per_class=400,
        teacher={"epochs": 60},
        stage1={"epochs": 12},
    ),
    "digits-elsewhere": Data(
        what="scikit-learn's digits with a teacher that learned elsewhere: 100 labelled, 668 without labels, 360 to "
        "evaluate on; the teacher has the labels of 669 others, too",
        write=halved(EMBEDDED["digits"]),
        images=_images(8),
        per_class=75,
        teacher={"epochs": 30},
        stage1={"epochs": 15},
        dedupe=False,
        elsewhere=True,
    ),
    "mnist5k-elsewhere": Data(
        what="the digits of MNIST with a teacher that learned elsewhere: 500 labelled, 1,750 without labels, 1,000 to "
        "evaluate on; the teacher has the labels of 1,750 others, too",
        write=halved(EMBEDDED["mnist5k"]),
        images=_images(14, antialias=True),
        per_class=200,
        teacher={"epochs": 30},
        stage1={"epochs": 12},
        elsewhere=True,
    ),
    "textures": Data(
        what="patches of 32x32 pixels of brick, grass and gravel, at 16x16: 15 labelled, the rest of the upper halves "
        "without labels, the lower halves to evaluate on",
        write=_textures,
        images=_images(16, antialias=True, flip=0.5),
        per_class=150,
        teacher={"epochs": 200},
        stage1={"epochs": 30},
    ),
    "textures-copies": Data(
        what="the same patches, with a copy of each one to evaluate on, saved as JPEG, among those without labels",
        write=_textures_with_copies,
        images=_images(16, antialias=True, flip=0.5),
        per_class=300,
        teacher={"epochs": 200},
        stage1={"epochs": 30},
        planted=True,
        arms=("ssld", "labels", WITHOUT),
    ),
}
"""By name."""
