"""Small folders in the layouts of COCO and of Pascal VOC: coloured rectangles on grey, one or two to a picture."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {"cat": (220, 40, 40), "dog": (40, 60, 220)}
COUNTS = {"train": 6, "val": 3}


def scenes(part: str):
    """Yield for every picture its pixels, (40, 60, 3), and its rectangles: name, left, top, width, height."""
    random = np.random.default_rng(list(COUNTS).index(part))
    for number in range(COUNTS[part]):
        pixels = np.repeat(random.integers(90, 130, (40, 60, 1), dtype=np.uint8), 3, axis=2)
        found = []
        for place, name in enumerate(("cat", "dog") if number % 2 else ("dog",)):
            wide, high = (int(side) for side in random.integers(12, 20, 2))
            left, top = int(random.integers(0, 30 - wide)) + 30 * place, int(random.integers(0, 40 - high))
            pixels[top : top + high, left : left + wide] = COLOURS[name]
            found.append((name, left, top, wide, high))
        yield pixels, found


def write_coco(root: Path, ending: str = "2017") -> Path:
    """Write `annotations/instances_PART2017.json` and the folders `PART2017`."""
    (root / "annotations").mkdir(parents=True)
    for part in COUNTS:
        (root / f"{part}{ending}").mkdir()
        images, annotations = [], []
        for number, (pixels, found) in enumerate(scenes(part), start=10):
            name = f"{number:012d}.jpg"
            Image.fromarray(pixels).save(root / f"{part}{ending}" / name, quality=95)
            images.append({"id": number, "file_name": name, "height": 40, "width": 60})
            for kind, left, top, wide, high in found:
                right, bottom = left + wide, top + high
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": number,
                        "category_id": {"cat": 17, "dog": 18}[kind],
                        "bbox": [left, top, wide, high],
                        "area": wide * high,
                        "segmentation": [[left, top, right, top, right, bottom, left, bottom]],
                        "iscrowd": 0,
                    }
                )
        content = {
            "images": images,
            "annotations": annotations,
            "categories": [{"id": 18, "name": "dog"}, {"id": 17, "name": "cat"}],
        }
        (root / "annotations" / f"instances_{part}{ending}.json").write_text(json.dumps(content))
    return root


def write_voc(root: Path) -> Path:
    """Write `VOCdevkit/VOC2012` with `JPEGImages`, `Annotations`, `SegmentationClass` and `ImageSets`."""
    year = root / "VOCdevkit" / "VOC2012"
    for name in ("JPEGImages", "Annotations", "SegmentationClass", "ImageSets/Main", "ImageSets/Segmentation"):
        (year / name).mkdir(parents=True)
    for part in COUNTS:
        names = []
        for number, (pixels, found) in enumerate(scenes(part)):
            name = f"2007_{part}_{number}"
            names.append(name)
            Image.fromarray(pixels).save(year / "JPEGImages" / f"{name}.jpg", quality=95)
            mask = np.zeros((40, 60), dtype=np.uint8)
            for kind, left, top, wide, high in found:
                mask[max(0, top - 1) : top + high + 1, max(0, left - 1) : left + wide + 1] = 255
                mask[top : top + high, left : left + wide] = {"cat": 8, "dog": 12}[kind]
            image = Image.fromarray(mask, "P")
            image.putpalette([value for number in range(256) for value in (number, number // 2, 255 - number)])
            image.save(year / "SegmentationClass" / f"{name}.png")
            (year / "Annotations" / f"{name}.xml").write_text(_xml(name, found))
        for task in ("Main", "Segmentation"):
            (year / "ImageSets" / task / f"{part}.txt").write_text("\n".join(names) + "\n")
    return root


def _xml(name: str, found) -> str:
    boxes = "".join(
        f"<object><name>{kind}</name><difficult>0</difficult><bndbox><xmin>{left + 1}</xmin><ymin>{top + 1}</ymin>"
        f"<xmax>{left + wide}</xmax><ymax>{top + high}</ymax></bndbox></object>"
        for kind, left, top, wide, high in found
    )
    size = "<size><width>60</width><height>40</height><depth>3</depth></size>"
    return f"<annotation><filename>{name}.jpg</filename>{size}{boxes}</annotation>"
