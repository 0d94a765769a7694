"""An artefact that was opened: called on arrays, whatever format it has."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, final

import numpy as np

from resnexus.artefacts.formats.contract import Opened
from resnexus.artefacts.formats.registry import format_of
from resnexus.artefacts.record import MULTIPLE, Interface
from resnexus.data.preprocess import AnyImage
from resnexus.errors import ResnexusError, printable

Array = np.ndarray[Any, np.dtype[Any]]


def open_artefact(path: str | os.PathLike[str], *, trust_code: bool = False, threads: int | None = None) -> Artefact:
    """Open what `resnexus.export` wrote; of every format but weights without a graph, none of our networks is built.

    Args:
        path: the file or folder; of OpenVINO's two files the `.xml`.
        trust_code: open formats that can run code, `.pt2` among them: for files of your own, or of somebody who may run
            programs on this machine.
        threads: in which ONNX Runtime or OpenVINO computes; as many as it takes by itself if None. What PyTorch runs
            has PyTorch's threads.

    Raises:
        ResnexusError: no such artefact, a format whose library is not installed, one that can run code and is not
            trusted, or less than one thread.
    """
    if threads is not None and threads < 1:
        raise ResnexusError(f"threads={threads}: expected at least 1")
    path = Path(path)
    found = format_of(path)
    if found.runs_code and not trust_code:
        raise ResnexusError(
            f"{printable(path)}: opening the format {found.name} can run code that somebody put into it; give "
            "trust_code=True, or --trust-code, if you made it or trust who did"
        )
    return Artefact(printable(path), found.open(path, threads))


@final
class Artefact:
    """One network, ready to run.

    Attributes:
        name: where it lies.
        record: what it says about itself: classes, preprocessing, interface and all else.
    """

    def __init__(self, name: str, opened: Opened) -> None:
        self.name, self.record = name, opened.record
        self._run = opened.run

    def __call__(self, images: Array) -> Array:
        """Return the scores, (N, classes) float32; arguments and errors as for `outputs`.

        Raises:
            ResnexusError: it gives feature maps and no scores, too.
        """
        if self.record.interface.maps:
            raise ResnexusError(f"{self.name} gives feature maps and no scores: call `outputs` for them by name")
        return self.outputs(images)[self.record.interface.scores]

    def outputs(self, images: Array) -> dict[str, Array]:
        """Return all that comes out, by name: the scores and, if it has them, the heat maps; or the feature maps.

        Not for several threads.

        Args:
            images: as `record.interface` says: (N, C, H, W) float32, (N, H, W, C) uint8, or (H, W, C) uint8.

        Raises:
            ResnexusError: another shape or dtype.
        """
        _check(images, self.record.interface)
        found = self._run(np.ascontiguousarray(images))
        return dict(zip(self.record.interface.outputs, found, strict=True))

    def prepare(self, image: AnyImage) -> Array:
        """Return what is to be given for one image: what of the preprocessing is not in the graph is done here.

        Args:
            image: as `Preprocess` takes it: a path, a PIL image, an array.

        Raises:
            ImageError: it cannot be decoded.
        """
        preprocess, included = self.record.preprocess, self.record.interface.included
        if included == "none":
            return preprocess(image).numpy()[None]
        pixels = preprocess.pixels(image)
        return pixels if included == "full" else preprocess.frame(pixels)[None]


def _check(images: Array, interface: Interface) -> None:
    if not isinstance(images, np.ndarray):
        raise ResnexusError(f"images are {type(images).__name__}: expected an array, as numpy has it")
    fits = images.ndim == len(interface.axes) and all(map(_fits, images.shape, interface.axes))
    if images.dtype != interface.dtype or not fits:
        raise ResnexusError(
            f"images of shape {images.shape} and {images.dtype}: expected {interface.shape}; `prepare` makes that of a "
            "picture"
        )


def _fits(length: int, axis: int | str) -> bool:
    if isinstance(axis, int):
        return length == axis
    return length > 0 and (len(axis) == 1 or length % MULTIPLE == 0)
