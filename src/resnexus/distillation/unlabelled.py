"""Pictures without labels as images to train on, alone or beside labelled ones."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Unpack

import numpy as np

from resnexus.data.error_codes import ErrorCode
from resnexus.data.labelled import StoredImages, Transforms
from resnexus.data.preprocess import AnyImage
from resnexus.data.shards.reading import OpenFiles
from resnexus.data.sources import ImageError
from resnexus.distillation.pictures import Picture
from resnexus.errors import ResnexusError, printable
from resnexus.prediction.inputs import Address, Member
from resnexus.training.losses import UNLABELLED


class PoolImages(StoredImages):
    """Pictures of a pool: files, or members of tar shards.

    Args:
        pictures: which; asked for one by one, so that they need not be in memory.
        classes: that a teacher tells apart.
        labels: where it lies -> class, for pictures of the pool whose label is known after all.
        transforms: what else `StoredImages` takes.
    """

    def __init__(
        self,
        pictures: Sequence[Picture],
        classes: tuple[str, ...],
        labels: Mapping[str, int] | None = None,
        **transforms: Unpack[Transforms],
    ) -> None:
        found = np.full(len(pictures), UNLABELLED)
        if labels:
            found[:] = [labels.get(picture.uri, UNLABELLED) for picture in pictures]
        super().__init__(found, classes, **transforms)
        self.pictures = pictures
        self._files = OpenFiles()

    def name(self, index: int) -> str:
        """Return where the picture lies."""
        return self.pictures[index].uri

    def source(self, index: int) -> AnyImage:
        """Return the picture as `Preprocess` takes it.

        Raises:
            ImageError: it lies elsewhere, or its shard cannot be read.
        """
        picture = self.pictures[index]
        source, name = picture.source, printable(picture.uri)
        if isinstance(source, Address):
            raise ImageError(
                name, "it lies elsewhere", "bring it to this machine to train on it", ErrorCode.NOT_READABLE
            )
        if not isinstance(source, Member):
            return source
        try:
            content = self._files.read(Path(source.shard), source.offset, source.size)
        except OSError as error:
            reason = error.strerror or str(error)
            raise ImageError(name, reason, "copy the shard again", ErrorCode.NOT_READABLE) from error
        if len(content) < source.size:
            raise ImageError(name, "the shard ends in it", "copy the shard again")
        return content

    def identity(self, index: int) -> str:
        """Return place and size, as the pool's list has them."""
        picture = self.pictures[index]
        return f"{picture.uri}\0{picture.size}\0"


class JoinedImages(StoredImages):
    """Several data sets of the same classes as one, in their order.

    Args:
        parts: of it; how images are prepared follows from the first.

    Raises:
        ResnexusError: parts of other classes, or a part whose images are not stored as files.
    """

    def __init__(self, *parts: StoredImages) -> None:
        first = parts[0]
        for part in parts[1:]:
            if part.classes != first.classes:
                raise ResnexusError(
                    f"{len(first.classes)} and {len(part.classes)} classes, or others: cannot be joined"
                )
        labels = np.concatenate([part.labels.numpy() for part in parts])
        transforms: Transforms = {"preprocess": first.preprocess, "augment": first.augment, "seed": first.seed}
        super().__init__(labels, first.classes, **transforms)
        self.parts = parts
        self._ends = list(accumulate(map(len, parts)))

    def name(self, index: int) -> str:
        """Return what the image is called in its part."""
        part, place = self._place(index)
        return part.name(place)

    def source(self, index: int) -> AnyImage:
        """Return the image as its part does."""
        part, place = self._place(index)
        return part.source(place)

    def identity(self, index: int) -> str:
        """Return what tells the image from others in its part."""
        part, place = self._place(index)
        return part.identity(place)

    def _place(self, index: int) -> tuple[StoredImages, int]:
        number = bisect_right(self._ends, index)
        return self.parts[number], index - (self._ends[number - 1] if number else 0)
