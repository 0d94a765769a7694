"""Measure how fast training images are read: our pipeline against torchvision's reference, on the same files.

    python -m studies.loading results/loading_cpu_DATE.json

Both decode a JPEG, take a random crop to 224 x 224, flip half of the time, normalise and make batches. torchvision's
pipeline is that of its reference training: Pillow, RandomResizedCrop, RandomHorizontalFlip, normalisation. Ours runs
twice: as installed, and with Pillow and our own resize alone, as where the extra `images` is missing; the pixels are
the same. The pipelines take turns, so that a change of the machine's speed meets them all, and the ratio is formed
within a turn. The pictures are cut from the two photographs of scikit-learn, unless a folder is given.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from resnexus.benchmark.environment import environment
from resnexus.data import jpeg, resizing
from resnexus.data.augment import Augment
from resnexus.data.batches import collate
from resnexus.data.labelled import ImageFiles
from resnexus.data.preprocess import Preprocess
from resnexus.records import write_json

OURS, WITHOUT, TORCHVISION = "resnexus", "resnexus without the extra", "torchvision v2"
BATCH_SIZE = 32
WIDTH, HEIGHT, QUALITY = 500, 375, 90


class Reference(Dataset[tuple[torch.Tensor, int]]):
    """Image files with the training transform of torchvision's references."""

    def __init__(self, paths: Sequence[str], preprocess: Preprocess) -> None:
        self.paths = tuple(paths)
        self.transform = v2.Compose(
            [
                v2.RandomResizedCrop(preprocess.size, antialias=True),
                v2.RandomHorizontalFlip(),
                v2.PILToTensor(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(preprocess.mean, preprocess.std),
                v2.ToPureTensor(),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        with Image.open(self.paths[index]) as image:
            return self.transform(image.convert("RGB")), 0


def photographs(folder: Path, count: int) -> list[str]:
    """Write `count` pictures of 500 x 375 to `folder`, cut from two photographs, and return their paths."""
    from sklearn.datasets import load_sample_images

    random = np.random.default_rng(0)
    whole = load_sample_images().images
    paths = []
    for number in range(count):
        photo = whole[number % len(whole)]
        top, left = (int(random.integers(size)) for size in (photo.shape[0] - HEIGHT, photo.shape[1] - WIDTH))
        paths.append(str(folder / f"{number}.jpg"))
        Image.fromarray(photo[top : top + HEIGHT, left : left + WIDTH]).save(paths[-1], quality=QUALITY)
    return paths


@contextmanager
def without_the_extra() -> Iterator[None]:
    """Let our pipeline decode with Pillow and resize by itself, in workers that are started meanwhile too."""
    with (
        mock.patch.object(jpeg, "_simplejpeg", return_value=None),
        mock.patch.object(resizing, "_opencv", return_value=None),
    ):
        yield


def turns(paths: Sequence[str], processes: int, rounds: int) -> dict[str, list[float]]:
    """Return images per second of every turn of each pipeline.

    Args:
        paths: JPEG files.
        processes: that read: 1 is this one, more are workers of a DataLoader that live from the first turn on.
        rounds: turns of each, after one that is not counted.
    """
    preprocess = Preprocess()
    files = ImageFiles(paths, [0] * len(paths), ("all",), preprocess=preprocess, augment=Augment())
    workers = 0 if processes == 1 else processes
    options: dict[str, Any] = {"batch_size": BATCH_SIZE, "num_workers": workers, "persistent_workers": workers > 0}
    if workers:
        options["multiprocessing_context"] = "fork"

    def reader(loader: DataLoader[Any]) -> Callable[[], None]:
        def read() -> None:
            for _ in loader:
                pass

        return read

    readers = {
        OURS: reader(DataLoader(files, collate_fn=collate, **options)),
        WITHOUT: without_the_extra()(reader(DataLoader(files, collate_fn=collate, **options))),
        TORCHVISION: reader(DataLoader(Reference(paths, preprocess), **options)),
    }
    rates: dict[str, list[float]] = {name: [] for name in readers}
    for turn in range(rounds + 1):
        for name, read in readers.items():
            start = time.perf_counter()
            read()
            if turn:
                rates[name].append(len(paths) / (time.perf_counter() - start))
    return rates


def summary(rates: dict[str, list[float]]) -> dict[str, Any]:
    """Return the median and the range of every pipeline, and of its ratio to torchvision's within a turn."""
    found = {}
    for name, values in rates.items():
        ratios = [value / other for value, other in zip(values, rates[TORCHVISION], strict=True)]
        found[name] = {
            "images_per_s": statistics.median(values),
            "images_per_s_range": [min(values), max(values)],
            "ratio": statistics.median(ratios),
            "ratio_range": [min(ratios), max(ratios)],
        }
    return found


def versions() -> dict[str, str | None]:
    """Return the versions of what decodes and resizes; None for what is not installed."""
    found: dict[str, str | None] = {}
    for name in ("pillow", "simplejpeg", "opencv-python-headless", "torchvision"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def main() -> None:
    """Write the record."""
    parser = argparse.ArgumentParser(description="Measure how fast training images are read.")
    parser.add_argument("record", type=Path, help="JSON file to write")
    parser.add_argument("--images", type=Path, help="folder of JPEG files; 500 x 375 photographs if left out")
    parser.add_argument("--count", type=int, default=256, help="pictures to cut from the photographs")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each pipeline")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        if arguments.images is None:
            paths = photographs(Path(folder), arguments.count)
        else:
            paths = sorted(map(str, arguments.images.glob("*.jpg")))
        results = {processes: turns(paths, processes, arguments.rounds) for processes in (1, 2)}
        size = sum(Path(path).stat().st_size for path in paths)
    record = {
        "what": "training images read per second: decoded, cropped at random, flipped, normalised, in batches",
        "environment": vars(environment()),
        "packages": versions(),
        "images": len(paths),
        "bytes_per_image": size / len(paths),
        "batch_size": BATCH_SIZE,
        "rounds": arguments.rounds,
        "processes": {str(number): {"summary": summary(rates), "turns": rates} for number, rates in results.items()},
    }
    write_json(record, arguments.record)
    for number, rates in results.items():
        for name, row in summary(rates).items():
            print(f"{number} process(es), {name}: {row['images_per_s']:.0f} images/s, {row['ratio']:.2f} x torchvision")


if __name__ == "__main__":
    main()
