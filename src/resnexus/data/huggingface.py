"""Data sets of Hugging Face's library `datasets`, with one column of images and one of classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Unpack

import numpy as np

from resnexus.data.classes import check_classes
from resnexus.data.labelled import Splits, StoredImages, Transforms, evaluating
from resnexus.data.sources import ImageError
from resnexus.data.splitting import VAL_FRACTION, check_fraction, divided, split
from resnexus.errors import ResnexusError, printable
from resnexus.packages import required

Array = np.ndarray[Any, np.dtype[Any]]

VALIDATION = ("validation", "valid", "val", "test")
"""Names of the part to evaluate on; the first that is there counts."""


class HuggingFaceImages(StoredImages):
    """Some rows of a data set's part.

    Args:
        title: what the part is called; a row has its number besides.
        part: a `datasets.Dataset`.
        columns: of the images, and of the classes.
        rows: numbers of the rows.
        transforms: what else `StoredImages` takes.
    """

    def __init__(
        self, title: str, part: Any, columns: tuple[str, str], rows: Array, **transforms: Unpack[Transforms]
    ) -> None:
        image, label = columns
        super().__init__(_labels(part, label)[rows], tuple(map(printable, part.features[label].names)), **transforms)
        self.title, self.rows, self.column = title, rows, image
        self.fingerprint = part._fingerprint  # of the table, as the library's own cache knows it
        # As Arrow has them the files are not decoded: that is done by our rules.
        self.encoded = part.with_format("arrow", columns=[image])

    def name(self, index: int) -> str:
        """Return the title and the number of the row."""
        return f"{self.title} row {self.rows[index]}"

    def source(self, index: int) -> bytes | str:
        """Return the bytes of an image's file, or its path.

        Raises:
            ImageError: the row has neither.
        """
        found = self.encoded[int(self.rows[index])][self.column][0].as_py() or {}
        if found.get("bytes") is None and not found.get("path"):
            raise ImageError(self.name(index), "the row has no image", "remove it")
        return found["bytes"] if found.get("bytes") is not None else found["path"]

    def identity(self, index: int) -> str:
        """Return the table's fingerprint and the number of the row."""
        return f"{self.fingerprint}\0{self.rows[index]}\0"


def is_saved(root: Path) -> bool:
    """Whether `save_to_disk` of the library wrote a folder."""
    names = {"dataset_dict.json"}, {"dataset_info.json", "state.json"}
    return any(all((root / name).is_file() for name in group) for group in names)


def open_huggingface(where: str, transforms: Transforms, val_fraction: float | None) -> Splits:
    """Open what `save_to_disk` wrote, or what `load_dataset` loads by a name, which the library may fetch.

    The part `train` is trained on, and the first of `VALIDATION` evaluated on. If there is none, or the data have no
    parts, images are held out as `split` does.

    Args:
        where: the folder or the name.
        transforms: what becomes of the images.
        val_fraction: what to hold out of every class where no part is for that; a fifth if None.

    Raises:
        MissingPackageError: `datasets` is not installed.
        ResnexusError: the library cannot load it, a part is missing or empty, its columns are not one of `Image` and
            one of `ClassLabel`, a class is missing in a row, or `val_fraction` is no fraction or has no effect.
    """
    shown = f"hf:{printable(where)}"
    parts = _loaded(where, shown)
    if "train" not in parts:
        raise ResnexusError(f"{shown}: no part 'train', only {', '.join(map(repr, parts))}; name one so")
    validation = next((name for name in VALIDATION if name in parts), None)
    columns = _columns(parts["train"], shown)
    sentence = ""
    if validation is None:
        fraction = VAL_FRACTION if val_fraction is None else check_fraction(val_fraction)
        rows = split(_labels(parts["train"], columns[1]), fraction)
        sentence = divided(fraction, f"part {VALIDATION[0]!r}")
        chosen = [("train", rows[0]), ("train", rows[1])]
    else:
        if val_fraction is not None:
            raise ResnexusError(f"val_fraction={val_fraction} has no effect on {shown}: it has a part {validation!r}")
        if _columns(parts[validation], shown) != columns or not _same_classes(parts, validation, columns[1]):
            raise ResnexusError(
                f"{shown}: 'train' and {validation!r} have other columns or classes; they must be alike"
            )
        chosen = [(name, np.arange(len(parts[name]))) for name in ("train", validation)]
    train, val = (
        HuggingFaceImages(f"{shown} {name}", parts[name], columns, rows, **given)
        for (name, rows), given in zip(chosen, (transforms, evaluating(transforms)), strict=True)
    )
    for images in (train, val):
        if not len(images):
            raise ResnexusError(f"{shown}: no images to {'train' if images is train else 'evaluate'} on")
    return Splits(
        name=printable(Path(where).name),
        classes=check_classes(train.classes, shown),
        train=train,
        val=val,
        preprocess=transforms["preprocess"],
        split=sentence,
    )


def _loaded(where: str, shown: str) -> dict[str, Any]:
    """Return the parts by name; data without parts are `train`."""
    datasets = required("datasets")
    try:
        found = datasets.load_from_disk(where) if is_saved(Path(where)) else datasets.load_dataset(where)
    except Exception as error:  # the library raises what the server, the disk and the formats lead it to
        raise ResnexusError(
            f"{shown}: datasets cannot load it: {printable(str(error).partition(chr(10))[0])}"
        ) from error
    return {"train": found} if isinstance(found, datasets.Dataset) else dict(found)


def _columns(part: Any, shown: str) -> tuple[str, str]:
    datasets = required("datasets")
    kinds = (datasets.Image, datasets.ClassLabel)
    found = [[name for name, kind in part.features.items() if isinstance(kind, wanted)] for wanted in kinds]
    if [len(names) for names in found] != [1, 1]:
        listed = ", ".join(f"{printable(name)} ({type(kind).__name__})" for name, kind in part.features.items())
        raise ResnexusError(f"{shown} has the columns {listed}; expected one Image and one ClassLabel")
    return found[0][0], found[1][0]


def _same_classes(parts: dict[str, Any], validation: str, label: str) -> bool:
    return bool(parts["train"].features[label].names == parts[validation].features[label].names)


def _labels(part: Any, column: str) -> Array:
    """Return the class of every row.

    Raises:
        ResnexusError: a row has none, or one that has no name.
    """
    labels = part.with_format("arrow", columns=[column])[:][column].to_numpy()
    count = len(part.features[column].names)
    wrong = np.flatnonzero(~((labels >= 0) & (labels < count)))  # a missing one is not a number
    if wrong.size:
        raise ResnexusError(
            f"row {wrong[0]} has class {labels[wrong[0]]} in column {printable(column)!r}, and {wrong.size - 1} more "
            f"rows have one that is none from 0 to {count - 1}"
        )
    return labels.astype(np.int64)
