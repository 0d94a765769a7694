"""A hash of what a data set holds."""

from __future__ import annotations

import hashlib
import os
import stat

from resnexus.data.datasets import ImageArrays, ImageFiles, LabelledImages


def fingerprint(dataset: LabelledImages) -> str:
    """Hash pixels in memory, or names, sizes and labels of files; hexadecimal.

    Raises:
        TypeError: not a data set of ours.
    """
    if not isinstance(dataset, (ImageArrays, ImageFiles)):
        raise TypeError(f"no fingerprint for {type(dataset).__name__}")
    digest = hashlib.sha256(_bytes("\0".join(dataset.classes)))
    digest.update(dataset.labels.numpy().tobytes())
    if isinstance(dataset, ImageArrays):
        digest.update(dataset.pixels.tobytes())
    else:
        for path in dataset.paths:
            digest.update(_bytes(f"{path}\0{_size(path)}\0"))
    return digest.hexdigest()


def _size(path: str) -> int | None:
    """Return the size of a file; None if there is none, as behind a dangling link."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def _bytes(text: str) -> bytes:
    """Return text as bytes; the name of a file may hold what is not Unicode."""
    return text.encode("utf-8", "surrogatepass")
