"""How a recipe prepares images."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from resnexus.data.augment import Augment
from resnexus.data.datasets import EMBEDDED, open_dataset
from resnexus.data.digits import SIZE
from resnexus.data.labelled import Splits
from resnexus.data.preprocess import Preprocess
from resnexus.errors import ResnexusError
from resnexus.progress import Progress, Silent
from resnexus.training.recipe import SETTINGS, Recipe, by_name

_SHIFT = Augment(crop_area=None, flip=0.0, shift=1)
_OF_ANY_IMAGES = "repeats"
"""The setting of images that is about how often they are drawn, and not about what they look like."""


def preparation(recipe: Recipe) -> tuple[Preprocess, Augment]:
    """Return what becomes of a recipe's images: of those that are evaluated, and of those that are trained on."""
    images = recipe.images
    preprocess = Preprocess(
        size=images.eval_size,
        resize_short=images.resize_short,
        interpolation=images.interpolation,
        antialias=images.antialias,
    )
    augment = Augment(
        size=images.image_size,
        crop_area=(images.crop_area[0], images.crop_area[1]),
        crop_aspect=(images.crop_aspect[0], images.crop_aspect[1]),
        flip=images.flip,
        policy=images.policy,
        policy_magnitude=images.policy_magnitude,
        policy_operations=images.policy_operations,
        erasing=images.erasing,
    )
    return preprocess, augment


def open_data(
    data: str | os.PathLike[str], recipe: Recipe, progress: Progress | None = None, *, download: bool = False
) -> Splits:
    """Open a data set as a recipe prepares its images, and say what there is to say of it.

    An embedded one has a preparation of its own: its images stay as large as they are, and are shifted at random.

    Raises:
        ResnexusError: as `open_dataset` does.
    """
    progress = progress or Silent()
    if data in EMBEDDED:
        progress.say(f"{data}: {_own_preparation()}; of the recipe's settings of images, {_OF_ANY_IMAGES} alone counts")
        return open_dataset(data, augment=_SHIFT, seed=recipe.seed, download=download)
    preprocess, augment = preparation(recipe)
    splits = open_dataset(data, preprocess, augment, seed=recipe.seed, download=download, progress=progress)
    for remark in splits.remarks:
        progress.say(remark)
    return splits


def check_changes(changes: Mapping[str, Any], data: str | os.PathLike[str]) -> None:
    """See that what somebody changes of a recipe has an effect on a data set; what a recipe brings need not.

    Args:
        changes: as `Recipe.changed` takes them.
        data: as `open_dataset` takes it.

    Raises:
        ResnexusError: an unknown setting, or one of how images are prepared, for an embedded data set.
    """
    for name, value in by_name(changes).items():
        if data in EMBEDDED and SETTINGS[name] == "images" and name != _OF_ANY_IMAGES:
            raise ResnexusError(
                f"{name}={value} has no effect on {data!r}: {_own_preparation()}; leave it out. Of the settings of "
                f"images, {_OF_ANY_IMAGES} is for these, too; the others are for images in files"
            )


def _own_preparation() -> str:
    return f"images of {SIZE}x{SIZE} pixels, shifted by up to {_SHIFT.shift} at random"
