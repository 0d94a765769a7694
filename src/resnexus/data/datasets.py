"""Open a data set, wherever its images lie."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from resnexus.data import digits
from resnexus.data.augment import Augment
from resnexus.data.folders import FoundImages, find_images
from resnexus.data.labelled import ImageArrays, ImageFiles, Splits
from resnexus.data.preprocess import Preprocess
from resnexus.data.splitting import split
from resnexus.errors import ResnexusError, printable, unknown

EMBEDDED = ("digits",)
"""Names that `open_dataset` accepts beside folders."""


def open_dataset(
    path_or_name: str | os.PathLike[str],
    preprocess: Preprocess | None = None,
    augment: Augment | None = None,
    *,
    seed: int = 0,
    val_fraction: float | None = None,
) -> Splits:
    """Open a data set: a folder, or one of `EMBEDDED` by name.

    A folder holds train/CLASS/ and val/CLASS/, or CLASS/ alone; it is read as `find_images` says. `"digits"` is the
    embedded data set; a folder of that name is `"./digits"`.

    Args:
        path_or_name: the folder or the name.
        preprocess: for a folder; the transform of the published series if None. An embedded data set has its own.
        augment: the training transform; None for none.
        seed: of the augmentation.
        val_fraction: how much of every class is for evaluation where a folder has no train/ and val/; a fifth if None.

    Raises:
        ResnexusError: neither a folder nor a name, a folder laid out otherwise, or options that an embedded data set
            cannot use.
    """
    if path_or_name in EMBEDDED:
        for option, value in (("preprocess", preprocess), ("val_fraction", val_fraction)):
            if value is not None:
                raise ResnexusError(
                    f"{option} has no effect on {path_or_name!r}: the data set has its own; leave it out"
                )
        return _digits(augment, seed)
    root = Path(path_or_name)
    if not root.is_dir():
        what = "a file, not a folder" if root.exists() else "no folder"
        name = unknown("embedded data set", os.fspath(path_or_name), EMBEDDED)
        raise ResnexusError(f"data {os.fspath(path_or_name)!r}: {what} with train/ and val/ is there, and {name}")
    return _folder(root, find_images(root, val_fraction), preprocess or Preprocess(), augment, seed)


def _digits(augment: Augment | None, seed: int) -> Splits:
    pixels, labels = digits.load_digits()
    train, val = split(labels)
    intensities = pixels[train] / 255
    mean, std = round(float(intensities.mean()), 4), round(float(intensities.std()), 4)
    preprocess = Preprocess(size=digits.SIZE, resize_short=digits.SIZE, mean=(mean,), std=(std,))
    return Splits(
        name="digits",
        classes=digits.CLASSES,
        train=ImageArrays(
            pixels[train], labels[train], digits.CLASSES, preprocess=preprocess, augment=augment, seed=seed
        ),
        val=ImageArrays(pixels[val], labels[val], digits.CLASSES, preprocess=preprocess),
        preprocess=preprocess,
    )


def _folder(root: Path, found: FoundImages, preprocess: Preprocess, augment: Augment | None, seed: int) -> Splits:
    def files(paths: Mapping[str, Sequence[str]], augment: Augment | None) -> ImageFiles:
        numbered = [(path, number) for number, name in enumerate(found.classes) for path in paths[name]]
        return ImageFiles(
            [path for path, _ in numbered],
            [number for _, number in numbered],
            found.classes,
            preprocess=preprocess,
            augment=augment,
            seed=seed,
        )

    return Splits(
        name=printable(root.resolve().name),
        classes=found.classes,
        train=files(found.train, augment),
        val=files(found.val, None),
        preprocess=preprocess,
        ignored=found.ignored,
        split=found.split,
    )
