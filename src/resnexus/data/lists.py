"""Images as PaddleClas lists them: a text file with a path and a class number in every line."""

from __future__ import annotations

import os
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from resnexus.data.classes import check_classes, numbered_classes
from resnexus.data.labelled import ImageFiles, Splits, Transforms, evaluating
from resnexus.errors import ResnexusError, printable

LISTS = {"train": "train_list.txt", "val": "val_list.txt"}
_NAMES = ("labels.txt", "*label_list.txt")
MAX_CLASSES = 1_000_000
"""Largest number of classes believed."""
_MOST_DIGITS = 100
"""Digits of a class; Python itself reads some thousands, and no more."""
_SHOWN = 5
"""Bad lines that an error shows; it counts the others."""
_SHORT = reprlib.Repr()  # a few aliases in YAML may stand for more than fits in memory
_SHORT.maxlevel = 2


@dataclass(frozen=True, kw_only=True)
class ImageList:
    """One list file, as `DataLoader.Train.dataset` and `DataLoader.Eval.dataset` of a PaddleClas configuration have it.

    Attributes:
        cls_label_path: the list.
        image_root: the folder that its paths are relative to.
        delimiter: what stands between path and number, the last one in a line counts; None for spaces or tabs.
        relabel: number the classes of the training list anew, in ascending order, so that none is missing.
    """

    cls_label_path: Path
    image_root: Path
    delimiter: str | None = None
    relabel: bool = False


def is_listed(root: Path) -> bool:
    """Whether a folder holds a list of training images."""
    return (root / LISTS["train"]).is_file()


def open_listed(root: Path, transforms: Transforms) -> Splits:
    """Open a folder with `train_list.txt` and `val_list.txt`, whose paths are relative to it.

    Names of the classes are in `labels.txt` or the one `*label_list.txt`; without, a class is called by its number.

    Raises:
        ResnexusError: a list is missing, and as `open_lists` does.
    """
    lists = {part: ImageList(cls_label_path=root / name, image_root=root) for part, name in LISTS.items()}
    names = sorted({path for pattern in _NAMES for path in root.glob(pattern)})
    if len(names) > 1:
        listed = ", ".join(printable(path.name) for path in names)
        raise ResnexusError(f"{printable(root)}: {listed} all name classes; keep one of them")
    return open_lists(root, lists["train"], lists["val"], class_names(names[0]) if names else None, transforms)


def open_configured(path: Path, transforms: Transforms) -> Splits:
    """Open what a PaddleClas configuration trains and evaluates on; of all else it says nothing is used.

    `DataLoader.Train.dataset` and `DataLoader.Eval.dataset` are read as `ImageList`, `Arch.class_num`, and
    `Infer.PostProcess.class_id_map_file` for the names of the classes. Relative paths are relative to the folder that
    the command runs in, as in PaddleClas.

    Raises:
        ResnexusError: no such configuration, and as `open_lists` does.
    """
    content = _configuration(path)
    lists = {part: _list(content, part, path) for part in ("Train", "Eval")}
    count = _at(content, "Arch", "class_num")
    if count is not None and (type(count) is not int or not 2 <= count <= MAX_CLASSES):
        raise ResnexusError(
            f"{printable(path)}: class_num={_SHORT.repr(count)}: expected a number from 2 to {MAX_CLASSES:,}"
        )
    names_file = _at(content, "Infer", "PostProcess", "class_id_map_file")
    names = class_names(Path(names_file)) if isinstance(names_file, str) else None
    if names is None and count is not None:
        names = tuple(map(str, range(count)))
    if names is not None and count is not None and count != len(names):
        raise ResnexusError(
            f"{printable(path)}: class_num is {count}, and {printable(names_file)} names {len(names)} classes; "
            "correct one, or leave class_id_map_file out"
        )
    return open_lists(path, lists["Train"], lists["Eval"], names, transforms)


def open_lists(
    where: Path, train: ImageList, val: ImageList, names: tuple[str, ...] | None, transforms: Transforms
) -> Splits:
    """Open two lists. An image that is missing is a bad image when it is met, and no error here.

    Args:
        where: what the data set is called after.
        train: to train on.
        val: to evaluate on.
        names: of the classes; None if they have none, and then every class must be in the training list.
        transforms: what becomes of the images.

    Raises:
        ResnexusError: a list cannot be read or is empty, lines without a path and a class (all are counted, the first
            are named by their numbers), a class without a training image, or a root where no image of a list is.
    """
    paths, labels = _read(train, None if train.relabel or names is None else len(names))
    found = sorted(set(labels))
    shown = printable(train.cls_label_path)
    if train.relabel:
        if names is not None and len(names) != len(found):
            raise ResnexusError(f"{shown}: {len(found)} classes, and {len(names)} are named; name each of them")
        number = {label: place for place, label in enumerate(found)}
        labels = [number[label] for label in labels]
    else:
        names = numbered_classes(found, shown, "labels.txt") if names is None else names
        number = {label: label for label in range(len(names))}
    names = check_classes(tuple(map(str, found)) if names is None else names, shown)
    val_paths, val_labels = _read(val, number)
    return Splits(
        name=printable(where.resolve().stem if where.is_file() else where.resolve().name),
        classes=names,
        train=ImageFiles(paths, labels, names, **transforms),
        val=ImageFiles(val_paths, [number[label] for label in val_labels], names, **evaluating(transforms)),
        preprocess=transforms["preprocess"],
    )


def class_names(path: Path) -> tuple[str, ...]:
    """Read the names of classes: one a line, or each behind its number, as `class_id_map_file` has them.

    Raises:
        ResnexusError: the file cannot be read, is empty, or has a line without a name.
    """
    lines = [line.strip() for line in _lines(path)]
    while lines and not lines[-1]:
        lines.pop()
    bad = next((place for place, line in enumerate(lines, 1) if not line), None)
    if bad is not None or not lines:
        raise ResnexusError(f"{printable(path)}: line {bad or 1} is empty; expected the name of a class")
    numbered = [line.partition(" ") for line in lines]
    if sorted(number for number, _, _ in numbered) == sorted(map(str, range(len(lines)))) and all(
        name.strip() for _, _, name in numbered
    ):
        by_number = {int(number): name for number, _, name in numbered}
        return tuple(printable(by_number[number].strip()) for number in range(len(lines)))
    return tuple(map(printable, lines))


def _read(images: ImageList, known: int | Mapping[int, int] | None) -> tuple[list[str], list[int]]:
    """Return paths and labels of a list; `known` are the labels it may have: how many, or which."""
    accepted = range(known) if isinstance(known, int) else known
    root, shown = os.fspath(images.image_root), printable(images.cls_label_path)
    if not images.image_root.is_dir():
        raise ResnexusError(f"image_root {printable(root)} of {shown}: no such folder; give the folder of the images")
    paths, labels, bad = list[str](), list[int](), list[str]()
    for number, line in enumerate(_lines(images.cls_label_path), 1):
        text = line.strip("\r\n") if images.delimiter is not None else line.strip()
        if not text.strip():
            continue
        path, label = _parts(text, images.delimiter)
        reason = _fault(path, label, accepted)
        if reason:
            bad.append(f"line {number}, {printable(text)[:80]!r}: {reason}")
        else:
            paths.append(os.path.join(root, path))
            labels.append(int(label))
    if bad:
        more = f"; and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        raise ResnexusError(f"{shown}: {'; '.join(bad[:_SHOWN])}{more}. Expected a path and the number of its class")
    if not paths:
        raise ResnexusError(f"{shown}: no images in it; expected lines of a path and the number of its class")
    _check_root(paths, shown)
    return paths, labels


def _parts(line: str, delimiter: str | None) -> tuple[str, str]:
    """Return path and label. The last delimiter divides: PaddleClas's first one would cut a path with a space."""
    parts = line.rsplit(delimiter, 1)
    return (parts[0], parts[1].strip()) if len(parts) == 2 else (line, "")


def _fault(path: str, label: str, accepted: range | Mapping[int, int] | None) -> str:
    if not label:
        return "no class"
    if not path or "\0" in path:
        return "no path" if not path else "a zero byte in the path"
    if not (label.isascii() and label.isdecimal()):
        return f"class {printable(label)[:20]!r} is no whole number from 0"
    if len(label) > _MOST_DIGITS:
        return f"a class of {len(label):,} digits, more than {_MOST_DIGITS}"
    if accepted is not None and int(label) not in accepted:
        within = f"from 0 to {len(accepted) - 1}" if isinstance(accepted, range) else "of the training list"
        return f"class {int(label)} is none {within}"
    return ""


def _check_root(paths: Sequence[str], shown: str) -> None:
    """Check that the root is not the wrong one: of the first images there must be one."""
    first = paths[:100]
    if not any(map(os.path.lexists, first)):
        raise ResnexusError(
            f"{shown}: none of its first {len(first)} images is there, such as {printable(first[0])}; "
            "paths are relative to image_root, which is the list's own folder if it is not given"
        )


def _lines(path: Path) -> Iterator[str]:
    """Yield the lines of a text file; bytes that are not UTF-8 stand for themselves, as in the names of files."""
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="\n") as file:
            yield from file
    except OSError as error:
        raise ResnexusError(f"cannot read {printable(path)}: {error.strerror}") from error


def _configuration(path: Path) -> Any:
    try:
        return yaml.safe_load("".join(_lines(path)))
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # ValueError: of 2020-13-45, or of 5000 digits
        reason = str(getattr(error, "problem", None) or error).partition("\n")[0]
        raise ResnexusError(f"{printable(path)} is not YAML: {reason}") from error


def _list(content: Any, part: str, path: Path) -> ImageList:
    where = f"{printable(path)}: DataLoader.{part}.dataset"
    values = _at(content, "DataLoader", part, "dataset")
    if not isinstance(values, dict):
        raise ResnexusError(f"{where} is missing; expected image_root and cls_label_path in it")
    for key in ("image_root", "cls_label_path"):
        if not isinstance(values.get(key), str):
            raise ResnexusError(f"{where}.{key} is missing; expected a path")
    delimiter, relabel = values.get("delimiter"), values.get("relabel", False)
    if not (delimiter is None or (isinstance(delimiter, str) and delimiter)):
        raise ResnexusError(f"{where}.delimiter={_SHORT.repr(delimiter)}: expected text, such as a space")
    if not isinstance(relabel, bool):
        raise ResnexusError(f"{where}.relabel={_SHORT.repr(relabel)}: expected true or false")
    return ImageList(
        cls_label_path=Path(values["cls_label_path"]),
        image_root=Path(values["image_root"]),
        delimiter=delimiter,
        relabel=relabel,
    )


def _at(content: Any, *keys: str) -> Any:
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    return content
