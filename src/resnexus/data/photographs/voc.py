"""Pascal VOC's folders: photographs, boxes as XML, classes of pixels as palette images."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

import numpy as np
from PIL import Image
from torchvision.datasets.voc import DATASET_YEAR_DICT, ET_parse, VOCDetection, VOCSegmentation

from resnexus.data.images import load_image
from resnexus.data.photographs.photographs import VOID, Array, Photograph, Photographs, PhotographSplits, Task
from resnexus.data.sources import ImageError, opened
from resnexus.errors import ResnexusError, printable

CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
"""Of Pascal VOC; 1 is the first in its masks."""

_YEARS = {Path(row["base_dir"]): year for year, row in DATASET_YEAR_DICT.items() if year.isdecimal()}


class VocPhotographs(Photographs):
    """Photographs with a file beside each that says what is on it.

    Args:
        images: the files.
        targets: the file beside each.
        classes: names.
        size: pixels on a side.
        train: whether they are flipped.
        seed: of the flips.
    """

    def __init__(
        self,
        images: Sequence[str],
        targets: Sequence[str],
        classes: tuple[str, ...],
        *,
        size: int,
        train: bool,
        seed: int,
    ) -> None:
        super().__init__(classes, size, train=train, seed=seed)
        self.images, self.targets = tuple(images), tuple(targets)

    def __len__(self) -> int:
        return len(self.images)


class VocBoxes(VocPhotographs):
    """Photographs with boxes in XML; objects that are marked as difficult are not asked for."""

    def read(self, index: int) -> Photograph:
        """Return a photograph with its boxes."""
        pixels = np.asarray(load_image(self.images[index]))
        found = objects(self.targets[index])
        sides = ("xmin", "ymin", "xmax", "ymax")
        corners = np.array([[float(one["bndbox"][side]) for side in sides] for one in found], dtype=np.float32)
        corners = corners.reshape(-1, 4) - np.array([1, 1, 0, 0], dtype=np.float32)  # the first pixel is number 1
        return Photograph(
            pixels=pixels,
            classes=np.full(pixels.shape[:2], VOID, dtype=np.uint8),
            boxes=corners,
            labels=np.array([self.classes.index(one["name"]) for one in found], dtype=np.int64),
            crowds=np.array([one.get("difficult", "0") == "1" for one in found], dtype=bool),
        )


class VocMasks(VocPhotographs):
    """Photographs with a palette image of classes, 255 on the borders of objects."""

    def read(self, index: int) -> Photograph:
        """Return a photograph with the classes of its pixels."""
        pixels, classes = np.asarray(load_image(self.images[index])), _mask(self.targets[index])
        if pixels.shape[:2] != classes.shape:
            raise ResnexusError(f"{printable(self.targets[index])} has another size than its photograph")
        return Photograph(
            pixels=pixels,
            classes=classes,
            boxes=np.zeros((0, 4), dtype=np.float32),
            labels=np.zeros(0, dtype=np.int64),
            crowds=np.zeros(0, dtype=bool),
        )


def open_voc(root: Path, task: Task, *, size: int, seed: int = 0) -> PhotographSplits:
    """Open a folder in Pascal VOC's layout.

    It is `VOCdevkit/VOC2012` (or another year), or the folder that holds `VOCdevkit`, with `JPEGImages`,
    `ImageSets/Main/train.txt` and `val.txt` and `Annotations` for boxes, `ImageSets/Segmentation` and
    `SegmentationClass` for masks. Masks are of Pascal VOC's 20 classes; boxes of these, or of classes of your own.

    Args:
        root: the folder.
        task: `"segmentation"` takes the masks, `"detection"` the boxes.
        size: pixels on a side that photographs are brought to.
        seed: of the flips.

    Raises:
        ResnexusError: the folder is laid out otherwise, or an annotation cannot be read.
    """
    top, year = _year(root)
    lists, kind = (VOCSegmentation, VocMasks) if task == "segmentation" else (VOCDetection, VocBoxes)
    try:
        parts = {part: lists(top, year=year, image_set=part) for part in ("train", "val")}
    except (OSError, RuntimeError) as error:
        raise ResnexusError(f"{printable(root)} is no folder of Pascal VOC: {printable(error)}") from error
    for part, found in parts.items():
        missing = next((path for path in (*found.images, *found.targets) if not Path(path).is_file()), None)
        if missing is not None or not len(found):
            what = f"{printable(missing)} is missing" if missing else f"{part}.txt names nothing"
            raise ResnexusError(f"{printable(root)} is no folder of Pascal VOC: {what}")
    told = [path for found in parts.values() for path in found.targets]
    classes = CLASSES if task == "segmentation" else _class_names(told)
    read: dict[str, Photographs] = {
        part: kind(found.images, found.targets, classes, size=size, train=part == "train", seed=seed)
        for part, found in parts.items()
    }
    return PhotographSplits(
        name=printable(root.resolve().name),
        classes=classes,
        train=read["train"],
        val=read["val"],
        digest=_digest(told),
    )


def objects(path: str) -> list[dict[str, Any]]:
    """Return the objects in an XML file of Pascal VOC, each with a name and a bndbox.

    Raises:
        ResnexusError: it is none.
    """
    try:
        found = VOCDetection.parse_voc_xml(ET_parse(path).getroot())["annotation"].get("object", [])
        for one in found:
            if not isinstance(one["name"], str):
                raise KeyError("name")
            for side in ("xmin", "ymin", "xmax", "ymax"):
                float(one["bndbox"][side])
    except (OSError, ParseError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ResnexusError(f"{printable(path)} is no annotation of Pascal VOC: {printable(error)}") from error
    return list(found)


def _year(root: Path) -> tuple[Path, str]:
    """Return the folder that holds a year's, and the year."""
    for base, year in _YEARS.items():
        if root.resolve().parts[-len(base.parts) :] == base.parts:
            return root.resolve().parents[len(base.parts) - 1], year
    found = [(root, year) for base, year in _YEARS.items() if (root / base).is_dir()]
    if len(found) != 1:
        years = ", ".join(year for _, year in found) or "none"
        raise ResnexusError(
            f"{printable(root)}: expected VOCdevkit/VOC2012 (or another year from 2007 on) in it, and one year alone; "
            f"found {years}. Name the year's folder"
        )
    return found[0]


def _class_names(paths: Sequence[str]) -> tuple[str, ...]:
    names = {one["name"] for path in paths for one in objects(path)}
    if not names:
        raise ResnexusError("there is no object in these annotations of Pascal VOC, so there is nothing to learn")
    if len(names) >= VOID:
        raise ResnexusError(f"{len(names)} classes of objects, at most {VOID - 1} can be told apart")
    return CLASSES if names <= set(CLASSES) else tuple(sorted(names))


def _mask(path: str) -> Array:
    with opened(path) as file:
        try:
            with Image.open(file) as image:
                classes = np.asarray(image)
        except (OSError, ValueError, SyntaxError) as error:
            raise ImageError(path, printable(error), "replace it") from error
    if classes.ndim != 2 or classes.dtype != np.uint8:
        raise ResnexusError(f"{printable(path)} is no mask of Pascal VOC: expected a palette image, one byte a pixel")
    wrong = classes[(classes > len(CLASSES)) & (classes != VOID)]
    if wrong.size:
        raise ResnexusError(
            f"{printable(path)} has pixels of class {wrong[0]}: expected 0 to {len(CLASSES)}, and {VOID} for borders"
        )
    return classes


def _digest(paths: Sequence[str]) -> str:
    found = hashlib.sha256()
    for path in paths:
        found.update(Path(path).name.encode("utf-8", "surrogatepass"))
        found.update(Path(path).read_bytes())
    return found.hexdigest()
