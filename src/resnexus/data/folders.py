"""Find the images of a data set in folders: root/train/CLASS/... and root/val/CLASS/..., or root/CLASS/... alone."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resnexus.data.images import SUFFIXES
from resnexus.data.splitting import VAL_FRACTION, check_fraction, divided, split
from resnexus.errors import ResnexusError, printable

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, kw_only=True)
class FoundImages:
    """The image files of a data set.

    Attributes:
        classes: the names of the class folders, in natural order (2 before 10); what is not printable as escapes.
        train: class -> paths to train on, in natural order.
        val: class -> paths to evaluate on, likewise.
        ignored: what lies beside them and is not used: files that have none of `SUFFIXES` or lie in no class folder,
            and, with a slash at the end, links to folders within class folders.
        split: how the images were divided, in a sentence; empty if the folders do.
    """

    classes: tuple[str, ...]
    train: dict[str, list[str]]
    val: dict[str, list[str]]
    ignored: tuple[str, ...]
    split: str = ""


def find_images(root: Path, val_fraction: float | None = None) -> FoundImages:
    """List the images in root/train/CLASS/ and root/val/CLASS/, at any depth below.

    A folder with neither train/ nor val/ is taken to hold the class folders themselves; a part of every class is held
    out, as `split` does. A file is an image by its suffix, one of `SUFFIXES` in upper or lower case. Names that begin
    with a dot are passed over. No file is opened.

    Args:
        root: the folder.
        val_fraction: what to hold out of every class where the folders do not say; a fifth if None.

    Raises:
        ResnexusError: a folder is missing, cannot be read or holds no image, a class is in one part only or too small
            to be split, there are fewer than two, or `val_fraction` is no fraction or has no effect.
    """
    if val_fraction is not None:
        check_fraction(val_fraction)
    shown = printable(root)
    layout = f"expected {shown}/train/CLASS/*.jpg and {shown}/val/CLASS/*.jpg, or {shown}/CLASS/*.jpg"
    there = [part for part in ("train", "val") if (root / part).is_dir()]
    if not there:
        return _divided(root, _classes(root, layout), VAL_FRACTION if val_fraction is None else val_fraction)
    for part in ("train", "val"):
        if part not in there:
            raise ResnexusError(f"{shown}: no folder {part}/ in it; {layout}")
    if val_fraction is not None:
        raise ResnexusError(
            f"val_fraction={val_fraction} has no effect on {shown}: it has train/ and val/; leave it out"
        )
    train, val = (_classes(root / part, layout) for part in ("train", "val"))
    _check_same(root, ("train", train.images), ("val", val.images))
    _check_same(root, ("val", val.images), ("train", train.images))
    _check_classes(root, train.images)
    return FoundImages(
        classes=tuple(train.images), train=train.images, val=val.images, ignored=train.ignored + val.ignored
    )


def ignored_note(ignored: Sequence[str]) -> str:
    """Return a sentence that counts what `FoundImages.ignored` names, by its kind."""
    kinds = Counter(_kind(path) for path in ignored)
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    return f"ignored {counts}; images are in class folders and end in {', '.join(SUFFIXES)}"


def _kind(path: str) -> str:
    if path.endswith(os.sep):
        return "linked folder"
    suffix = Path(path).suffix.lower()
    return f"misplaced {printable(suffix)}" if suffix in SUFFIXES else printable(suffix) or "without suffix"


@dataclass(frozen=True)
class _Part:
    """Class -> its images, and what lies beside them."""

    images: dict[str, list[str]]
    ignored: tuple[str, ...]


def _divided(root: Path, whole: _Part, val_fraction: float) -> FoundImages:
    _check_classes(root, whole.images)
    small = [repr(name) for name, paths in whole.images.items() if len(paths) < 2]
    if small:
        raise ResnexusError(
            f"{printable(root)}: only one image of {_listed(small)}; without train/ and val/ every class needs two, "
            "one of them to evaluate on"
        )
    files = [(name, path) for name, paths in whole.images.items() for path in paths]
    labels = np.repeat(np.arange(len(whole.images)), [len(paths) for paths in whole.images.values()])

    def chosen(indices: Array) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {name: [] for name in whole.images}
        for name, path in (files[index] for index in indices):
            found[name].append(path)
        return found

    train, val = map(chosen, split(labels, val_fraction))
    return FoundImages(
        classes=tuple(whole.images),
        train=train,
        val=val,
        ignored=whole.ignored,
        split=divided(val_fraction, "train/ and val/"),
    )


def _classes(folder: Path, layout: str) -> _Part:
    try:
        entries = sorted(
            (entry for entry in os.scandir(folder) if _is_shown(entry.name)), key=lambda entry: natural(entry.name)
        )
        found = [(entry.name, _files(entry.path)) for entry in entries if entry.is_dir()]
    except OSError as error:
        reason = f"{printable(error.filename or folder)}: {error.strerror}"
        raise ResnexusError(f"cannot read {reason}; make it readable") from error
    if not found:
        raise ResnexusError(f"{printable(folder)}: no class folders in it; {layout}")
    ignored = [path for _, paths in found for path in paths if not _is_image(path)]
    empty = [printable(folder / name) for name, paths in found if not any(map(_is_image, paths))]
    if empty:
        others = f"; {ignored_note(ignored)}" if ignored else f": they end in {', '.join(SUFFIXES)}"
        raise ResnexusError(f"no images in {_listed(empty)}{others}")
    names = [printable(name) for name, _ in found]
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise ResnexusError(f"{printable(folder)}: two class folders print as {twice!r}; rename one")
    images = {name: list(filter(_is_image, paths)) for name, (_, paths) in zip(names, found, strict=True)}
    strays = [entry.path for entry in entries if not entry.is_dir()]
    return _Part(images, (*ignored, *strays))


def _files(folder: str) -> list[str]:
    found = []
    for where, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = filter(_is_shown, folders)
        found += [os.path.join(where, name) for name in names if _is_shown(name)]
        found += [path + os.sep for name in folders if os.path.islink(path := os.path.join(where, name))]
    return sorted(found, key=natural)


def _raise(error: OSError) -> None:
    raise error


def _is_shown(name: str) -> bool:
    return not name.startswith(".")


def _is_image(path: str) -> bool:
    return path.lower().endswith(SUFFIXES)


def _check_classes(root: Path, images: Mapping[str, object]) -> None:
    if len(images) < 2:
        raise ResnexusError(
            f"{printable(root)}: only one class, {next(iter(images))!r}; classification needs at least two"
        )


def _check_same(root: Path, one: tuple[str, Iterable[str]], other: tuple[str, Iterable[str]]) -> None:
    alone = [repr(name) for name in one[1] if name not in other[1]]
    if alone:
        raise ResnexusError(
            f"{printable(root)}: {one[0]}/ has classes that {other[0]}/ lacks: {_listed(alone)}; both need them all"
        )


def _listed(names: list[str]) -> str:
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def natural(text: str) -> tuple[list[str | int], str]:
    """Return a key that sorts digits by their number; text and number alternate, so that like is compared with like."""
    parts = re.split(r"([0-9]+)", text)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], text
