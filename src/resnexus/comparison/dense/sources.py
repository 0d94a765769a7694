"""What segmenters and detectors are trained and evaluated on: canvases of digits, or photographs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from resnexus.architectures.catalog import architecture
from resnexus.architectures.spec import Architecture
from resnexus.comparison.dense.networks import BACKBONES, CANVAS, Form
from resnexus.comparison.dense.settings import DenseSettings
from resnexus.comparison.jobs import DEFAULT_MODELS
from resnexus.data.canvases import CLASSES, Canvases, DenseBatch, collate_canvases
from resnexus.data.photographs.coco import open_coco
from resnexus.data.photographs.photographs import Photographs, PhotographSplits, Task, collate_photographs
from resnexus.data.photographs.voc import open_voc
from resnexus.errors import ResnexusError, unknown

DIGITS = "digits"
SIZE = 320
"""Pixels on a side that photographs are brought to if nothing else is asked for."""

_PHOTOGRAPHS = {"coco": open_coco, "voc": open_voc}
_VAL_SEED = 0  # of the canvases to evaluate on: all trainings are measured on the same
_WIDTH = 128  # channels of the pyramid on photographs
_MOST_BOXES = 100  # COCO's

Scenes: TypeAlias = Canvases | Photographs


class Source(Protocol):
    """Where the scenes of a comparison come from."""

    @property
    def name(self) -> str:
        """In print."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Names, without the background."""
        ...

    @property
    def form(self) -> Form:
        """What a network for it looks like."""
        ...

    @property
    def collate(self) -> Callable[[Sequence[Any]], DenseBatch]:
        """Makes a batch of scenes."""
        ...

    @property
    def default_models(self) -> Sequence[str | Architecture]:
        """What is compared if no networks are named."""
        ...

    @property
    def digest(self) -> str:
        """What tells its scenes from others."""
        ...

    def train(self, seed: int) -> Scenes:
        """Return what a training of this seed sees."""
        ...

    def val(self) -> Scenes:
        """Return what all trainings are evaluated on."""
        ...

    def backbone(self, model: str | Architecture) -> Architecture:
        """Return the row of a network's name, as it is for these scenes; a row is returned as it is.

        Raises:
            ResnexusError: there is no such backbone.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class CanvasSource:
    """Canvases of digits.

    Attributes:
        settings: say how many.
    """

    settings: DenseSettings
    name = DIGITS
    classes = CLASSES
    default_models = tuple(BACKBONES)

    @property
    def form(self) -> Form:
        """That of canvases, at the output stride of the settings."""
        return replace(CANVAS, output_stride=self.settings.output_stride)

    @property
    def collate(self) -> Callable[[Sequence[Any]], DenseBatch]:
        """Makes a batch of canvases."""
        return collate_canvases

    @cached_property
    def digest(self) -> str:
        """Of the first canvas to evaluate on."""
        return hashlib.sha256(self.val()[0].pixels.tobytes()).hexdigest()

    def train(self, seed: int) -> Canvases:
        """Return what to train on; another seed has other canvases."""
        return Canvases(seed, self.settings.train_images, held_out=False)

    def val(self) -> Canvases:
        """Return what to evaluate on, of other glyphs."""
        return Canvases(_VAL_SEED, self.settings.val_images, held_out=True)

    def backbone(self, model: str | Architecture) -> Architecture:
        """Return a small sibling with a strided stem, by name; upper and lower case are the same."""
        if isinstance(model, Architecture):
            return model
        by_name = {name.lower(): row for name, row in BACKBONES.items()}
        if model.lower() not in by_name:
            raise unknown("backbone for canvases of digits", model, BACKBONES)
        return by_name[model.lower()]


@dataclass(frozen=True, kw_only=True)
class PhotographSource:
    """Photographs of a folder, and the weights that backbones for them start from.

    Attributes:
        kind: of the folder's layout, `"coco"` or `"voc"`.
        splits: the photographs.
        form: what a network for them looks like.
    """

    kind: str
    splits: PhotographSplits
    form: Form
    default_models = DEFAULT_MODELS

    @property
    def name(self) -> str:
        """Layout and folder."""
        return f"{self.kind}:{self.splits.name}"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names, without the background."""
        return self.splits.classes

    @property
    def digest(self) -> str:
        """Of the annotations."""
        return self.splits.digest

    @property
    def collate(self) -> Callable[[Sequence[Any]], DenseBatch]:
        """Makes a batch of photographs."""
        return collate_photographs

    def train(self, seed: int) -> Scenes:
        """Return what to train on; another seed flips others."""
        found = copy(self.splits.train)
        found.seed = seed
        return found

    def val(self) -> Scenes:
        """Return what to evaluate on."""
        return self.splits.val

    def backbone(self, model: str | Architecture) -> Architecture:
        """Return the row of a name of `resnexus list`."""
        return architecture(model)


def open_source(
    data: str | os.PathLike[str],
    task: Task,
    settings: DenseSettings,
    *,
    image_size: int | None = None,
    weights: str | os.PathLike[str] | None = None,
) -> Source:
    """Open what a comparison is trained and evaluated on.

    Args:
        data: `"digits"`, `"coco:FOLDER"` or `"voc:FOLDER"`.
        task: of the comparison.
        settings: of its trainings.
        image_size: pixels on a side that photographs are brought to; `SIZE` if None.
        weights: of the backbones for photographs, a tag or a file; None for random ones.

    Raises:
        ResnexusError: there is no such data, the folder is laid out otherwise, or an option has no effect.
    """
    if data == DIGITS:
        for name, value in (("image_size", image_size), ("weights", weights)):
            if value is not None:
                raise ResnexusError(f"{name}={value} has no effect on canvases of digits: leave it out")
        return CanvasSource(settings=settings)
    kind, _, folder = os.fspath(data).partition(":")
    if kind not in _PHOTOGRAPHS or not folder:
        raise ResnexusError(f"data {os.fspath(data)!r} for {task}: expected digits, coco:FOLDER or voc:FOLDER")
    if not Path(folder).is_dir():
        raise ResnexusError(f"data {os.fspath(data)!r}: there is no folder {folder}")
    size = SIZE if image_size is None else image_size
    if size < 1 or size % 32:
        raise ResnexusError(f"image_size={size}: expected a multiple of 32, which the backbones divide by")
    splits = _PHOTOGRAPHS[kind](Path(folder), task, size=size)
    form = Form(
        classes=len(splits.classes) + 1,
        in_chans=3,
        size=size,
        width=_WIDTH,
        most_boxes=_MOST_BOXES,
        weights=False if weights is None else weights,
        output_stride=settings.output_stride,
        frozen=0 if settings.stage_lr else 1,
    )
    return PhotographSource(kind=kind, splits=splits, form=form)
