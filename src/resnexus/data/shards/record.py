"""What is written beside the shards of a data set, as JSON."""

from __future__ import annotations

from dataclasses import dataclass

from resnexus.errors import ResnexusError

CLASSES, RECORD = "classes.json", "sharding.json"


@dataclass(frozen=True, kw_only=True)
class ClassNames:
    """The names of the classes, in the order of their numbers: what `classes.json` holds."""

    classes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Sharding:
    """What is to be in a folder, written first: a second start goes on with that and nothing else.

    Attributes:
        train: fingerprint of the images to train on.
        val: of those to evaluate on.
        train_images: how many there are to train on.
        val_images: how many to evaluate on.
        shard_bytes: largest shard, in bytes of images and labels with their headers.
        shard_images: most images of a shard; None for any number.

    Raises:
        ResnexusError: a number is not positive.
    """

    train: str
    val: str
    train_images: int
    val_images: int
    shard_bytes: int
    shard_images: int | None

    def __post_init__(self) -> None:
        for name in ("train_images", "val_images", "shard_bytes", "shard_images"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ResnexusError(f"{name}={value}: expected at least 1")
