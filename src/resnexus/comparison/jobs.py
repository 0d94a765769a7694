"""Which trainings a comparison is made of."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import torch

from resnexus.architectures.catalog import architecture
from resnexus.architectures.network import Network
from resnexus.architectures.siblings import SIBLINGS
from resnexus.architectures.spec import Architecture
from resnexus.comparison.settings import Settings
from resnexus.data.augment import Augment
from resnexus.data.datasets import EMBEDDED, open_dataset
from resnexus.data.fingerprint import fingerprint
from resnexus.data.labelled import ImageArrays, LabelledImages, Splits, StoredImages
from resnexus.data.preprocess import Preprocess
from resnexus.errors import ResnexusError
from resnexus.models import create_model
from resnexus.progress import Progress
from resnexus.training.hardware import hardware
from resnexus.version import __version__
from resnexus.weights.checkpoint_file import sha256

DEFAULT_MODELS = ("ResNet50_vd", "ResNeXt50_32x4d", "SE_ResNet50_vd", "SE_ResNeXt50_32x4d", "Res2Net50_26w_4s")
"""What is compared on photographs if no networks are named: one of each kind, at 50 layers."""

_EMBEDDED_AUGMENT = Augment(crop_area=None, flip=0.0, shift=1)


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """What to train and evaluate on.

    Attributes:
        splits: the images.
        augment: the training transform of `splits`.
    """

    splits: Splits
    augment: Augment

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the images and of what is done to them."""
        content = {
            "augment": asdict(self.augment),
            "preprocess": self.splits.preprocess.to_dict(),
            "train": fingerprint(self.splits.train),
            "val": fingerprint(self.splits.val),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def chance(self) -> float:
        """The top-1 of always naming the class with the most validation images, a fraction."""
        labels = labels_of(self.splits.val)
        return max(Counter(labels).values()) / len(labels)


@dataclass(frozen=True, kw_only=True)
class Training:
    """One training to be done.

    Attributes:
        row: the network.
        weights: tag of the published weights to start from, or a file; None to start from random ones.
        seed: of everything random.
        data: what to train and evaluate on.
        settings: of the training.
    """

    row: Architecture
    weights: str | os.PathLike[str] | None
    seed: int
    data: TrainingData
    settings: Settings

    @property
    def title(self) -> str:
        """What the job is called in print."""
        return f"{self.row.name}, seed {self.seed}"

    @property
    def shown_images(self) -> int:
        """Images that it is shown, counted in every epoch."""
        return self.settings.epochs * len(self.data.splits.train)

    @property
    def name(self) -> str:
        """Name of the job's files: jobs of other conditions have other names."""
        return f"{self.row.name}-seed{self.seed}-{self.key[:12]}"

    @cached_property
    def key(self) -> str:
        """A hash of all that the result depends on: two jobs with one key are the same job.

        Raises:
            CheckpointFileError: the file of weights cannot be read.
        """
        content = {
            "row": asdict(self.row),
            "weights": content_of(self.weights),
            "seed": self.seed,
            "settings": {name: value for name, value in self.settings.to_dict().items() if name != "workers"},
            "data": self.data.fingerprint,
            "precision": hardware().precision,
            "resnexus": __version__,
            "torch": torch.__version__,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def network(self) -> Network:
        """Create the network as training starts from it.

        Raises:
            ResnexusError: as `create_model` does.
        """
        torch.manual_seed(self.seed)
        return create_model(
            self.row,
            pretrained=False if self.weights is None else self.weights,
            num_classes=len(self.data.splits.classes),
            in_chans=self.data.splits.preprocess.in_chans,
        )


def trainings(
    data: str | os.PathLike[str],
    *,
    models: Sequence[str | Architecture] | None,
    weights: str | os.PathLike[str] | None,
    image_size: int | None,
    seeds: int,
    settings: Settings,
    progress: Progress | None = None,
) -> list[Training]:
    """Return the trainings of a comparison, all networks with the first seed first; arguments as for `compare`.

    Raises:
        ResnexusError: a name, the data or a number cannot be used.
    """
    if seeds < 1:
        raise ResnexusError(f"seeds={seeds}: expected at least 1")
    rows = _rows(data, models)
    opened = [_open(data, image_size, seed, progress) for seed in range(seeds)]
    for row in rows:
        _check_size(row, opened[0].splits.preprocess.size)
    return [
        Training(row=row, weights=weights, seed=seed, data=found, settings=settings)
        for seed, found in enumerate(opened)
        for row in rows
    ]


def _rows(data: str | os.PathLike[str], models: Sequence[str | Architecture] | None) -> list[Architecture]:
    if models is None:
        models = list(SIBLINGS.values()) if data in EMBEDDED else DEFAULT_MODELS
    rows = [architecture(model) for model in models]
    check_named_once(rows)
    return rows


def check_named_once(rows: Sequence[Architecture]) -> None:
    """Check that there are networks to compare, and none twice.

    Raises:
        ResnexusError: none, or one twice.
    """
    names = [row.name for row in rows]
    if not rows:
        raise ResnexusError("no networks to compare: name at least one")
    for name in names:
        if names.count(name) > 1:
            raise ResnexusError(f"network {name!r} is named {names.count(name)} times: name each once")


def _check_size(row: Architecture, image_size: int) -> None:
    if image_size < row.reductions[-1]:
        raise ResnexusError(
            f"image_size={image_size}: {row.name} makes images {row.reductions[-1]} times smaller on a side, so "
            f"give at least {row.reductions[-1]}"
        )


def _open(data: str | os.PathLike[str], image_size: int | None, seed: int, progress: Progress | None) -> TrainingData:
    if data in EMBEDDED:
        if image_size is not None:
            raise ResnexusError(f"image_size={image_size} has no effect on {data!r}, whose images are used as they are")
        return TrainingData(
            splits=open_dataset(data, augment=_EMBEDDED_AUGMENT, seed=seed),
            augment=_EMBEDDED_AUGMENT,
        )
    # The published ratio of the short side to the crop: 256 to 224.
    image_size = 224 if image_size is None else image_size
    preprocess = Preprocess(size=image_size, resize_short=round(image_size * 256 / 224))
    return TrainingData(
        splits=open_dataset(data, preprocess, Augment(), seed=seed, progress=progress), augment=Augment()
    )


def labels_of(dataset: LabelledImages) -> list[int]:
    """Return the class of every image.

    Raises:
        TypeError: not a data set of ours.
    """
    if not isinstance(dataset, (ImageArrays, StoredImages)):
        raise TypeError(f"{type(dataset).__name__} does not tell its labels")
    return dataset.labels.tolist()


def content_of(weights: str | os.PathLike[str] | None) -> str | None:
    """Return what identifies weights: the content of a file, or else the tag."""
    if weights is None:
        return None
    path = Path(weights)
    return sha256(path) if path.is_file() else os.fspath(weights)
