"""Open a data set, wherever its images lie."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from resnexus.data import cifar, digits
from resnexus.data.augment import Augment
from resnexus.data.folders import FoundImages, find_images
from resnexus.data.huggingface import is_saved, open_huggingface
from resnexus.data.labelled import ImageArrays, ImageFiles, Splits, Transforms, evaluating
from resnexus.data.lists import is_listed, open_configured, open_listed
from resnexus.data.preprocess import Preprocess
from resnexus.data.shards.reading import is_sharded, open_shards
from resnexus.data.splitting import split
from resnexus.errors import ResnexusError, printable, unknown
from resnexus.progress import Progress, Silent

EMBEDDED = ("digits",)
"""Names that `open_dataset` accepts beside folders."""


def open_dataset(
    path_or_name: str | os.PathLike[str],
    preprocess: Preprocess | None = None,
    augment: Augment | None = None,
    *,
    seed: int = 0,
    val_fraction: float | None = None,
    download: bool = False,
    progress: Progress | None = None,
) -> Splits:
    """Open a data set: a folder, a configuration, or by name.

    A folder holds train/CLASS/ and val/CLASS/, or CLASS/ alone, as `find_images` says; train_list.txt and val_list.txt,
    as `open_listed` says; tar shards and no folders, as `open_shards` says; or what `save_to_disk` of Hugging Face's
    `datasets` wrote. A YAML file is a PaddleClas configuration, read as `open_configured` says. Names are `"digits"`,
    which is embedded, `"cifar10:FOLDER"`, `"cifar100:FOLDER"` and `"hf:NAME"`, as `open_cifar` and `open_huggingface`
    say; a folder of such a name is `"./digits"`.

    Args:
        path_or_name: the folder, the file or the name.
        preprocess: the transform of the published series if None; an embedded data set has its own.
        augment: the training transform; None for none.
        seed: of the augmentation.
        val_fraction: how much of every class is for evaluation where the data do not say; a fifth if None.
        download: fetch CIFAR if its folder does not hold it.
        progress: told when shards are indexed; nobody if None.

    Raises:
        ResnexusError: neither a folder nor a name, a folder laid out otherwise, or options that an embedded data set
            cannot use.
    """
    if path_or_name in EMBEDDED:
        _refuse_download(download, path_or_name)
        for option, value in (("preprocess", preprocess), ("val_fraction", val_fraction)):
            if value is not None:
                raise ResnexusError(
                    f"{option} has no effect on {path_or_name!r}: the data set has its own; leave it out"
                )
        return _digits(augment, seed)
    transforms: Transforms = {"preprocess": preprocess or Preprocess(), "augment": augment, "seed": seed}
    kind, colon, rest = path_or_name.partition(":") if isinstance(path_or_name, str) else ("", "", "")
    if colon and kind in cifar.KINDS:
        _refuse(val_fraction, path_or_name)
        return cifar.open_cifar(kind, Path(rest), transforms, download=download)
    _refuse_download(download, path_or_name)
    if colon and kind == "hf":
        return open_huggingface(rest, transforms, val_fraction)
    root = Path(path_or_name)
    if root.is_file() and root.suffix in (".yaml", ".yml"):
        _refuse(val_fraction, path_or_name)
        return open_configured(root, transforms)
    if not root.is_dir():
        what = "a file, not a folder" if root.exists() else "no folder"
        name = unknown("embedded data set", os.fspath(path_or_name), EMBEDDED)
        raise ResnexusError(f"data {os.fspath(path_or_name)!r}: {what} with train/ and val/ is there, and {name}")
    if is_listed(root):
        _refuse(val_fraction, path_or_name)
        return open_listed(root, transforms)
    if is_saved(root):
        return open_huggingface(os.fspath(root), transforms, val_fraction)
    if is_sharded(root):
        return open_shards(root, transforms, val_fraction, progress or Silent())
    return _folder(root, find_images(root, val_fraction), transforms)


def _refuse(val_fraction: float | None, data: str | os.PathLike[str]) -> None:
    if val_fraction is not None:
        raise ResnexusError(
            f"val_fraction={val_fraction} has no effect on {printable(data)}: it says what to evaluate on; leave it out"
        )


def _refuse_download(download: bool, data: str | os.PathLike[str]) -> None:
    if download:
        raise ResnexusError(f"download has no effect on {printable(data)}: only CIFAR is fetched; leave it out")


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


def _folder(root: Path, found: FoundImages, transforms: Transforms) -> Splits:
    def files(paths: Mapping[str, Sequence[str]], transforms: Transforms) -> ImageFiles:
        numbered = [(path, number) for number, name in enumerate(found.classes) for path in paths[name]]
        labels = [number for _, number in numbered]
        return ImageFiles([path for path, _ in numbered], labels, found.classes, **transforms)

    return Splits(
        name=printable(root.resolve().name),
        classes=found.classes,
        train=files(found.train, transforms),
        val=files(found.val, evaluating(transforms)),
        preprocess=transforms["preprocess"],
        ignored=found.ignored,
        split=found.split,
    )
