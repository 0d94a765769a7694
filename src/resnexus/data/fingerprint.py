"""A hash of what a data set holds."""

from __future__ import annotations

import hashlib

from resnexus.data.labelled import ImageArrays, LabelledImages, StoredImages


def fingerprint(dataset: LabelledImages) -> str:
    """Hash pixels in memory, or the labels of what is stored and what tells each image; hexadecimal.

    Raises:
        TypeError: not a data set of ours.
    """
    if not isinstance(dataset, (ImageArrays, StoredImages)):
        raise TypeError(f"no fingerprint for {type(dataset).__name__}")
    digest = hashlib.sha256(_bytes("\0".join(dataset.classes)))
    digest.update(dataset.labels.numpy().tobytes())
    if isinstance(dataset, ImageArrays):
        digest.update(dataset.pixels.tobytes())
    else:
        for index in range(len(dataset)):
            digest.update(_bytes(dataset.identity(index)))
    return digest.hexdigest()


def _bytes(text: str) -> bytes:
    """Return text as bytes; the name of a file may hold what is not Unicode."""
    return text.encode("utf-8", "surrogatepass")
