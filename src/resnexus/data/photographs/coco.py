"""COCO's folders: photographs, and one JSON file of instances for each part."""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from resnexus.data.images import load_image
from resnexus.data.photographs.photographs import VOID, Array, Photograph, Photographs, PhotographSplits, Task
from resnexus.errors import ResnexusError, printable
from resnexus.packages import required

_FILE = re.compile(r"instances_(train|val)(\w*)\.json")


class CocoPhotographs(Photographs):
    """The photographs of one part, in the order of their numbers.

    Args:
        folder: of the photographs.
        annotations: the JSON file.
        masks: whether the classes of pixels are wanted, which takes longer to read.
        size: pixels on a side.
        train: whether they are flipped.
        seed: of the flips.

    Attributes:
        categories: number of each class in the file, in the order of the classes.

    Raises:
        ResnexusError: the file cannot be read, or is none of instances.
    """

    def __init__(self, folder: Path, annotations: Path, *, masks: bool, size: int, train: bool, seed: int) -> None:
        self.folder, self.masks = folder, masks
        self.coco = _read(annotations)
        found = sorted(self.coco.cats.values(), key=lambda category: category["id"])
        self.categories = {category["id"]: number for number, category in enumerate(found)}
        self.numbers = sorted(self.coco.imgs)
        names = tuple(printable(category["name"]) for category in found)
        super().__init__(names, size, train=train, seed=seed)

    def __len__(self) -> int:
        return len(self.numbers)

    def read(self, index: int) -> Photograph:
        """Return a photograph with its boxes and, if wanted, masks.

        Instances that overlap, and crowds, leave the class of their pixels open.
        """
        image = self.coco.imgs[self.numbers[index]]
        path = self.folder / image["file_name"]
        pixels = np.asarray(load_image(path))
        if pixels.shape[:2] != (image["height"], image["width"]):
            raise ResnexusError(
                f"{printable(path)} has {pixels.shape[1]}x{pixels.shape[0]} pixels, and its annotations are of "
                f"{image['width']}x{image['height']}: annotate it as it is, or replace it"
            )
        found = self.coco.loadAnns(self.coco.getAnnIds(image["id"]))
        corners = np.array([one["bbox"] for one in found], dtype=np.float32).reshape(-1, 4)
        corners[:, 2:] += corners[:, :2]
        corners[:, 0::2] = corners[:, 0::2].clip(0, image["width"])
        corners[:, 1::2] = corners[:, 1::2].clip(0, image["height"])
        return Photograph(
            pixels=pixels,
            classes=self._classes(found, pixels.shape[:2]),
            boxes=corners,
            labels=np.array([self.categories[one["category_id"]] for one in found], dtype=np.int64),
            crowds=np.array([bool(one.get("iscrowd", 0)) for one in found], dtype=bool),
        )

    def _classes(self, found: list[dict[str, Any]], shape: tuple[int, ...]) -> Array:
        if not self.masks:
            return np.full(shape, VOID, dtype=np.uint8)
        classes, covered = np.zeros(shape, dtype=np.uint8), np.zeros(shape, dtype=bool)
        for one in found:
            mask = self._mask(one)
            classes[mask] = VOID if one.get("iscrowd", 0) else self.categories[one["category_id"]] + 1
            classes[mask & covered] = VOID
            covered |= mask
        return classes

    def _mask(self, one: dict[str, Any]) -> Array:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of NumPy, of how pycocotools makes its arrays
            mask: Array = self.coco.annToMask(one).astype(bool)
        return mask


def open_coco(root: Path, task: Task, *, size: int, seed: int = 0) -> PhotographSplits:
    """Open a folder in COCO's layout.

    It holds `annotations/instances_train2017.json` and `annotations/instances_val2017.json` (or another ending,
    or none), and beside them the folders `train2017` and `val2017`, or both in `images`.

    Args:
        root: the folder.
        task: `"segmentation"` makes classes of pixels of the instances' masks.
        size: pixels on a side that photographs are brought to.
        seed: of the flips.

    Raises:
        ResnexusError: the folder is laid out otherwise, or train and val are of other classes.
        MissingPackageError: pycocotools is not installed.
    """
    files = {part: _annotations(root, part) for part in ("train", "val")}
    ending = {part: _FILE.fullmatch(path.name).group(2) for part, path in files.items()}  # type: ignore[union-attr]
    parts = {
        part: CocoPhotographs(
            _photographs(root, f"{part}{ending[part]}"),
            path,
            masks=task == "segmentation",
            size=size,
            train=part == "train",
            seed=seed,
        )
        for part, path in files.items()
    }
    train, val = parts["train"], parts["val"]
    if train.classes != val.classes or list(train.categories) != list(val.categories):
        raise ResnexusError(f"{printable(root)}: train and val are not annotated with the same categories")
    if len(train.classes) >= VOID:
        raise ResnexusError(f"{printable(root)}: {len(train.classes)} categories, at most {VOID - 1} can be told apart")
    digest = hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in files.values())).hexdigest()
    return PhotographSplits(
        name=printable(root.resolve().name), classes=train.classes, train=train, val=val, digest=digest
    )


def _annotations(root: Path, part: str) -> Path:
    folder = root / "annotations"
    found = [path for path in sorted(folder.glob(f"instances_{part}*.json")) if _FILE.fullmatch(path.name)]
    if len(found) != 1:
        what = "none is there" if not found else f"{', '.join(path.name for path in found)} are there"
        raise ResnexusError(
            f"{printable(folder)}: expected one file instances_{part}*.json, such as instances_{part}2017.json; {what}"
        )
    return found[0]


def _photographs(root: Path, name: str) -> Path:
    for folder in (root / name, root / "images" / name):
        if folder.is_dir():
            return folder
    raise ResnexusError(f"{printable(root)}: no folder {name} of photographs, nor images/{name}")


def _read(path: Path) -> Any:
    required("pycocotools")
    from pycocotools.coco import COCO

    try:
        with redirect_stdout(io.StringIO()):
            coco = COCO(str(path))
        complete = all({"file_name", "height", "width"} <= image.keys() for image in coco.imgs.values())
        known = all(
            {"bbox", "category_id"} <= one.keys() and one["category_id"] in coco.cats for one in coco.anns.values()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, AssertionError, RecursionError) as error:
        raise ResnexusError(f"{printable(path)} is no file of COCO's instances: {printable(error)}") from error
    if not (coco.imgs and coco.cats and complete and known):
        raise ResnexusError(
            f"{printable(path)} is no file of COCO's instances: expected images with file_name, height and width, "
            "categories, and annotations with a bbox and one of the categories"
        )
    return coco
