"""What a teacher said of a pool of pictures, on disk: features and soft labels of several views of each, in shards.

`CACHE/cache.json` is a `CacheRecord`. Pictures are numbered from 0 through all shards. Shard k is two files:

`shard-0000k.safetensors`, with n rows, one for each of its pictures in order, M views and k classes of each:
    `features` (n, C) float16: the teacher's pooled features of the plain evaluation view.
    `plain_classes` (n, k) int32, `plain_probabilities` (n, k) float32, `plain_rest` (n,) float32: its answer there.
    `seeds` (n, M) int64: what each view is drawn from.
    `classes` (n, M, k) int32: the most probable classes of a view, the most probable first.
    `probabilities` (n, M, k) float32: of these classes, after a softmax at temperature 1 over all.
    `rest` (n, M) float32: the probability of all others together.
    A picture that could not be read has -1 for classes and 0 elsewhere; its seeds are there.

`shard-0000k.jsonl`, a `Picture` on every line. It is written last: what has it is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from resnexus.data.augment import Augment
from resnexus.data.preprocess import Preprocess
from resnexus.distillation.filed import FiledPictures
from resnexus.distillation.pictures import Picture as Picture  # a part of the contract
from resnexus.errors import ResnexusError, printable
from resnexus.prediction.fetching import FetchLimits
from resnexus.records import read_json

Array = np.ndarray[Any, np.dtype[Any]]

RECORD = "cache.json"
OPEN = 1024
"""Files of numbers that a process maps at a time; a system allows some 65,000."""
ONE_VIEW = "one view of each picture: students are known to overfit to such a cache; score more views"
"""What is said of a cache with one view: Beyer et al., arXiv:2106.05237, on answers that were computed beforehand."""


@dataclass(frozen=True, kw_only=True)
class CacheRecord:
    """What a cache is of, as `cache.json` says.

    Attributes:
        teacher: as it was asked for; a file by its whole path, a torch module as `module` and its class.
        teacher_architecture: the network of a file, where its names and shapes cannot tell.
        teacher_weights: of a teacher that was named alone; None if its name says them.
        teacher_sha256: of the file of its weights, or of a module's state; `"random"` for drawn ones.
        num_classes: of the teacher.
        classes: what they are called; None if nobody says.
        features: channels of the pooled features.
        preprocess: the plain view; its size is that of the random views, too.
        augment: how random views are drawn.
        views: random views of each picture.
        topk: classes of each that are kept.
        seed: of the random views.
        one_view: whether there is one view only, which is known to overfit; `ONE_VIEW`.
        pictures: how many, those that could not be read among them.
        pool: SHA-256 over number, place and size of every picture.
        shard_pictures: pictures of each shard but the last.
        engine: which ran the teacher.
        precision: in which it ran.
        device: on which it ran.
        batch_size: images per forward pass.
        notes: what had to be assumed, and what to beware of, in sentences.
        versions: package -> version.
        private_addresses: whether addresses of the pool may lead into private networks, as `PredictionSettings` has it;
            so whoever reads its pictures again goes where they were read.

    Raises:
        ResnexusError: numbers that do not fit each other.
    """

    teacher: str
    teacher_architecture: str | None
    teacher_weights: str | None
    teacher_sha256: str
    num_classes: int
    classes: tuple[str, ...] | None
    features: int
    preprocess: Preprocess
    augment: Augment
    views: int
    topk: int
    seed: int
    one_view: bool
    pictures: int
    pool: str
    shard_pictures: int
    engine: str
    precision: str
    device: str
    batch_size: int
    notes: tuple[str, ...]
    versions: dict[str, str]
    private_addresses: bool = False

    def __post_init__(self) -> None:
        for name in ("num_classes", "features", "views", "topk", "pictures", "shard_pictures"):
            if getattr(self, name) < 1:
                raise ResnexusError(f"{name}={getattr(self, name)}: expected at least 1")
        if self.topk > self.num_classes:
            raise ResnexusError(f"topk={self.topk}: the teacher has {self.num_classes} classes")
        if self.one_view != (self.views == 1):
            raise ResnexusError(f"one_view={self.one_view}, views={self.views}: they do not fit")
        if self.classes is not None and len(self.classes) != self.num_classes:
            raise ResnexusError(f"{len(self.classes)} names for num_classes={self.num_classes}")

    @property
    def fetching(self) -> FetchLimits:
        """Limits of what is brought over HTTP to read a picture again."""
        return FetchLimits(private=self.private_addresses)

    @property
    def image_size(self) -> int:
        """Side of all views in pixels."""
        return self.preprocess.size

    @property
    def shards(self) -> int:
        """How many there are."""
        return -(-self.pictures // self.shard_pictures)

    def rows(self, shard: int) -> range:
        """The numbers of the pictures in a shard."""
        return range(shard * self.shard_pictures, min((shard + 1) * self.shard_pictures, self.pictures))

    def class_name(self, number: int) -> str:
        """Return what a class is called: its number where nobody says."""
        return str(number) if self.classes is None else self.classes[number]


@dataclass(frozen=True, kw_only=True, eq=False)
class SoftLabel:
    """What the teacher said of one view.

    Attributes:
        seed: what the view was drawn from; None for the plain view.
        classes: (k,) int32, the most probable first.
        probabilities: (k,) float32, of these classes.
        rest: the probability of all others together.
    """

    seed: int | None
    classes: Array
    probabilities: Array
    rest: float


def dense(label: SoftLabel, num_classes: int) -> Array:
    """Return a soft label over all classes; the rest is spread evenly over those that are not named.

    That is the distribution of largest entropy that agrees with what was kept. Where all classes are named there is
    nothing to spread.

    Args:
        label: of one view.
        num_classes: of the teacher.

    Returns:
        (num_classes,) float32, of sum 1 to rounding.

    Raises:
        ResnexusError: the label names a class that there is not.
    """
    if label.classes.min() < 0 or label.classes.max() >= num_classes:
        raise ResnexusError(f"classes {label.classes.tolist()}: expected numbers from 0 to {num_classes - 1}")
    others = num_classes - len(label.classes)
    found = np.full(num_classes, label.rest / others if others else 0.0, np.float32)
    found[label.classes] = label.probabilities
    return found


def tensors_name(shard: int) -> str:
    """Return the name of a shard's file of numbers."""
    return f"shard-{shard:05d}.safetensors"


def pictures_name(shard: int) -> str:
    """Return the name of a shard's file of pictures."""
    return f"shard-{shard:05d}.jsonl"


class Cache:
    """A cache on disk; opened by `open_cache`. It may be copied into other processes.

    Files of numbers are mapped, not read, a bounded number of them at a time: what is asked for comes from the disk, or
    from the system's memory of it.

    Args:
        folder: of the cache.
        record: what it is of.
    """

    def __init__(self, folder: Path, record: CacheRecord) -> None:
        self.folder, self.record = folder, record
        self._shard = lru_cache(maxsize=OPEN)(
            lambda shard: _mapped(folder / tensors_name(shard), record, len(record.rows(shard)))
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return Cache, (self.folder, self.record)

    def __len__(self) -> int:
        return self.record.pictures

    @cached_property
    def pictures(self) -> Sequence[Picture]:
        """All pictures, by their numbers; each is read when it is asked for."""
        paths = [self.folder / pictures_name(shard) for shard in range(self.record.shards)]
        return FiledPictures(paths, self.record.shard_pictures, self.record.pictures)

    def readable(self) -> Array:
        """Return which pictures the teacher has answers for: (pictures,) bool."""
        return self.leading("plain_classes") >= 0

    def features(self) -> Array:
        """Return the features of all pictures: (pictures, C) float16."""
        return self.column("features")

    def column(self, name: str) -> Array:
        """Return a tensor of all shards, by its name in their files: (pictures, ...)."""
        return np.concatenate([self._shard(shard).get_tensor(name) for shard in range(self.record.shards)])

    def leading(self, name: str) -> Array:
        """Return the first column of a tensor of two axes, of all shards, without the others: (pictures,)."""
        parts = [self._shard(shard).get_slice(name)[:, :1] for shard in range(self.record.shards)]
        return np.concatenate(parts)[:, 0]

    def feature(self, index: int) -> Array:
        """Return the features of one picture: (C,) float16, 0 if it could not be read."""
        return self._row("features", index)

    def soft_label(self, index: int) -> SoftLabel:
        """Return the teacher's answer for the plain view of a picture; errors as for `soft_labels`."""
        names = ("plain_classes", "plain_probabilities", "plain_rest")
        classes, probabilities, rest = (self._row(name, index) for name in names)
        return SoftLabel(seed=None, classes=classes, probabilities=probabilities, rest=float(rest))

    def soft_labels(self, index: int, view: int) -> SoftLabel:
        """Return the teacher's answer for a random view of a picture.

        Args:
            index: of the picture.
            view: from 0.

        Raises:
            ResnexusError: there is no such picture or view, or the picture could not be read.
        """
        if not 0 <= view < self.record.views:
            raise ResnexusError(f"view={view}: the cache holds {self.record.views} of each picture, counted from 0")
        classes, probabilities, rest, seeds = (
            self._row(name, index)[view] for name in ("classes", "probabilities", "rest", "seeds")
        )
        return SoftLabel(seed=int(seeds), classes=classes, probabilities=probabilities, rest=float(rest))

    def _row(self, name: str, index: int) -> Array:
        if not 0 <= index < self.record.pictures:
            raise ResnexusError(f"picture {index}: the cache holds {self.record.pictures:,}, counted from 0")
        shard, row = divmod(index, self.record.shard_pictures)
        found: Array = self._shard(shard).get_slice(name)[row : row + 1]
        if name.endswith("classes") and found.min() < 0:
            raise ResnexusError(f"picture {index} could not be read: its soft label is missing")
        return found[0]


def open_cache(folder: Path) -> Cache:
    """Open what `resnexus distill score` wrote.

    Raises:
        ResnexusError: there is no cache, or it is not whole.
    """
    if not (folder / RECORD).is_file():
        raise ResnexusError(f"{printable(folder)} holds no {RECORD}: write it with `resnexus distill score`")
    record = read_json(CacheRecord, folder / RECORD)
    names = (name(shard) for shard in range(record.shards) for name in (tensors_name, pictures_name))
    missing = next((name for name in names if not (folder / name).is_file()), None)
    if missing is not None:
        raise ResnexusError(
            f"{printable(folder / missing)} is missing: the cache is not whole; start the same `resnexus distill "
            "score` again"
        )
    return Cache(folder, record)


def _mapped(path: Path, record: CacheRecord, rows: int) -> Any:
    """Open a shard's file of numbers, and see that its shapes are those of the record."""
    from safetensors import SafetensorError, safe_open

    views, topk = record.views, record.topk
    shapes = {
        "features": [rows, record.features],
        "plain_classes": [rows, topk],
        "plain_probabilities": [rows, topk],
        "plain_rest": [rows],
        "seeds": [rows, views],
        "classes": [rows, views, topk],
        "probabilities": [rows, views, topk],
        "rest": [rows, views],
    }
    try:
        file = safe_open(path, framework="np")
        found = {name: file.get_slice(name).get_shape() for name in shapes}  # type: ignore[no-untyped-call]
    except (OSError, SafetensorError) as error:
        raise ResnexusError(f"cannot read {printable(path)}: remove it, and score the pool again") from error
    if found != shapes:
        raise ResnexusError(f"{printable(path)} holds other shapes than the cache's record says: remove it, and score")
    return file
