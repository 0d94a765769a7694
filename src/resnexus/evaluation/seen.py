"""Images as one network sees them: prepared in one way, labelled with its outputs, and told apart by their content."""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from resnexus.data.batches import BadImage, Item
from resnexus.data.images import enough_memory
from resnexus.data.labelled import ImageArrays, LabelledImages, StoredImages
from resnexus.data.order import Draw, drawn
from resnexus.data.preprocess import AnyImage, Preprocess
from resnexus.data.sources import ImageError, opened

Array = np.ndarray[Any, np.dtype[Any]]
Corrupt = Callable[[Array, bytes], Array]
"""Changes what a network sees, (size, size, C) uint8; the bytes tell the image from others."""

_HASH_BYTES = 32
_PART_BYTES = 1 << 20


class Originals:
    """The images of data sets, one after the other, before anything is done to them.

    Args:
        parts: data sets of the same classes.
        root: folder that is left out of the names.
    """

    def __init__(self, *parts: StoredImages | ImageArrays, root: str = "") -> None:
        self._root = root and os.path.join(root, "")
        self._places = [(part, index) for part in parts for index in range(len(part))]
        self.labels = torch.cat([part.labels for part in parts])

    def __len__(self) -> int:
        return len(self._places)

    def name(self, index: int) -> str:
        """Return what an image is called: as its data set does, or by its number here."""
        part, place = self._places[index]
        return part.name(place).removeprefix(self._root) if isinstance(part, StoredImages) else f"image {index}"

    def source(self, index: int) -> AnyImage:
        """Return an image as `Preprocess` takes it.

        Raises:
            ImageError: it cannot be read.
        """
        part, place = self._places[index]
        if isinstance(part, StoredImages):
            return part.source(place)
        pixels: Array = part.pixels[place]
        return pixels if pixels.shape[2] == 3 else pixels[:, :, 0]

    def only(self, indices: Sequence[int]) -> Originals:
        """Return some of the images, in this order."""
        some = copy.copy(self)
        some._places = [self._places[index] for index in indices]
        some.labels = self.labels[list(indices)]
        return some


class SeenImages(LabelledImages):
    """Images prepared for a network.

    Args:
        originals: the images.
        labels: (N,) int64, numbers of the network's outputs.
        classes: of the network.
        preprocess: how images are prepared.
        corrupt: what is done to the cropped picture before it is normalised.

    Attributes:
        sha256: (N, 32) uint8: of the content of every image that has been read, in this process or a worker.
        missing: (N,) bool: whether it could not be.
    """

    def __init__(
        self,
        originals: Originals,
        labels: Tensor,
        classes: Sequence[str],
        preprocess: Preprocess,
        corrupt: Corrupt | None = None,
    ) -> None:
        self.originals, self.labels, self.classes = originals, labels, tuple(classes)
        self.preprocess, self.corrupt = preprocess, corrupt
        self.sha256 = torch.zeros(len(originals), _HASH_BYTES, dtype=torch.uint8).share_memory_()  # type: ignore[no-untyped-call]
        self.missing = torch.zeros(len(originals), dtype=torch.bool).share_memory_()  # type: ignore[no-untyped-call]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int | Draw) -> Item:
        place = drawn(index).image
        label, name = int(self.labels[place]), self.originals.name(place)
        try:
            source = self.originals.source(place)
            with enough_memory(name):
                frame = self.preprocess.frame(self.preprocess.pixels(source))
                digest = content_hash(source)
                self.sha256[place] = torch.frombuffer(bytearray(digest), dtype=torch.uint8)
                if self.corrupt is not None:
                    frame = self.corrupt(frame, digest)
                return self.preprocess.normalise(frame), label
        except ImageError as error:
            self.missing[place] = True
            return BadImage(name, error.reason)


def content_hash(source: AnyImage) -> bytes:
    """Return the SHA-256 of an image: of the bytes of a file, or of pixels.

    Raises:
        ImageError: the file cannot be read.
    """
    if isinstance(source, (np.ndarray, Image.Image)):
        return hashlib.sha256(np.ascontiguousarray(source).tobytes()).digest()
    digest = hashlib.sha256()
    with opened(source) as file:
        file.seek(0)
        while part := file.read(_PART_BYTES):
            digest.update(part)
    return digest.digest()
