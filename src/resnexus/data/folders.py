"""Find the images of a data set in folders: root/train/CLASS/... and root/val/CLASS/..."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from resnexus.data.images import SUFFIXES
from resnexus.errors import ResnexusError


@dataclass(frozen=True, kw_only=True)
class FoundImages:
    """The image files of a data set.

    Attributes:
        classes: the names of the class folders, in natural order (2 before 10).
        train: class -> paths to train on, in natural order.
        val: class -> paths to evaluate on, likewise.
        ignored: files in the class folders that have none of `SUFFIXES`.
    """

    classes: tuple[str, ...]
    train: dict[str, list[str]]
    val: dict[str, list[str]]
    ignored: tuple[str, ...]


def find_images(root: Path) -> FoundImages:
    """List the images in root/train/CLASS/ and root/val/CLASS/, at any depth below.

    A file is an image by its suffix, one of `SUFFIXES` in upper or lower case. Names that begin with a dot are passed
    over. No file is opened.

    Raises:
        ResnexusError: a folder is missing, cannot be read or holds no image, a class is in one part only, or there
            are fewer than two.
    """
    train, val = (_class_files(root, part) for part in ("train", "val"))
    _check_same(root, ("train", train), ("val", val))
    _check_same(root, ("val", val), ("train", train))
    if len(train) < 2:
        raise ResnexusError(f"{root}: only one class, {next(iter(train))!r}; classification needs at least two")
    return FoundImages(
        classes=tuple(train),
        train={name: [path for path in paths if _is_image(path)] for name, paths in train.items()},
        val={name: [path for path in paths if _is_image(path)] for name, paths in val.items()},
        ignored=tuple(
            path for part in (train, val) for paths in part.values() for path in paths if not _is_image(path)
        ),
    )


def _class_files(root: Path, part: str) -> dict[str, list[str]]:
    layout = f"expected {root}/train/CLASS/*.jpg and {root}/val/CLASS/*.jpg"
    folder = root / part
    if not folder.is_dir():
        raise ResnexusError(f"{root}: no folder {part}/ in it; {layout}")
    try:
        names = [entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith(".")]
        found = {name: _files(folder / name) for name in sorted(names, key=_natural)}
    except OSError as error:
        raise ResnexusError(f"cannot read {error.filename}: {error.strerror}; make it readable") from error
    if not found:
        raise ResnexusError(f"{folder}: no class folders in it; {layout}")
    empty = [str(folder / name) for name, paths in found.items() if not any(map(_is_image, paths))]
    if empty:
        raise ResnexusError(f"no images in {_listed(empty)}: they end in {', '.join(SUFFIXES)}")
    return found


def _files(folder: Path) -> list[str]:
    found = []
    for where, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [os.path.join(where, name) for name in names if not name.startswith(".")]
    return sorted(found, key=_natural)


def _raise(error: OSError) -> None:
    raise error


def _is_image(path: str) -> bool:
    return path.lower().endswith(SUFFIXES)


def _check_same(root: Path, one: tuple[str, Iterable[str]], other: tuple[str, Iterable[str]]) -> None:
    alone = [repr(name) for name in one[1] if name not in other[1]]
    if alone:
        raise ResnexusError(
            f"{root}: {one[0]}/ has classes that {other[0]}/ lacks: {_listed(alone)}; both need them all"
        )


def _listed(names: list[str]) -> str:
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def _natural(text: str) -> tuple[list[str | int], str]:
    """Key that sorts digits by their number; text and number alternate, so that only like is compared with like."""
    parts = re.split(r"([0-9]+)", text)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], text
