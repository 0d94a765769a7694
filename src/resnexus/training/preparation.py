"""How a recipe prepares images."""

from __future__ import annotations

from resnexus.data.augment import Augment
from resnexus.data.preprocess import Preprocess
from resnexus.training.recipe import Recipe


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
