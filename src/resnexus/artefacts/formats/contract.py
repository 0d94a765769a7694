"""What every format of an artefact offers: it is built of a module, written with its record, and opened again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from resnexus.artefacts.graph import Deployed
from resnexus.artefacts.record import RECORD_KEY, ArtefactRecord, Batch
from resnexus.data.preprocess import AnyImage
from resnexus.packages import installed_version
from resnexus.parity.agreement import FLOAT32_TOLERANCE

Array = np.ndarray[Any, np.dtype[Any]]
Run: TypeAlias = Callable[[Array], list[Array]]
"""What goes in, as the record's interface says -> what comes out, in the order of its names."""

RECORD_FILE = f"{RECORD_KEY}.json"
"""Name of the record in folders and archives."""


class Opened(NamedTuple):
    """An artefact that is ready to run.

    Attributes:
        record: what it says about itself.
        run: not for several threads at once.
    """

    record: ArtefactRecord
    run: Run


class Format(ABC):
    """One way to write a network.

    Attributes:
        name: how the command line calls it.
        suffix: of its file; `""` for a folder.
        packages: what must be installed to write and to open it.
        rewrites: whether the network is rewritten first.
        weights_only: whether it holds no graph, so that nothing can be added to the network.
        maps: whether it can give feature maps in place of scores.
        batch: whether it takes any number of images in a call, or one.
        runs_code: whether opening it may run code from it.
        tolerance: what the largest difference from the plain network may be, over the largest score.
        pictures: what an artefact is compared with its network on; the photographs that come with the package if empty.
    """

    name: str
    suffix: str
    packages: tuple[str, ...]
    rewrites: bool = True
    weights_only: bool = False
    maps: bool = False
    batch: Batch = "any"
    runs_code: bool = False
    tolerance: float = FLOAT32_TOLERANCE
    pictures: Sequence[AnyImage] = ()

    def check(self, out: Path) -> None:  # noqa: B027  # most have nothing to look at
        """Look at the place where it is to be written, and at what it needs besides packages, before any work is done.

        Raises:
            ResnexusError: something else is there, or something is missing.
        """

    @abstractmethod
    def build(self, deployed: Deployed, record: ArtefactRecord) -> tuple[Any, ArtefactRecord]:
        """Return what is written, and the record with what was found out on the way."""

    @abstractmethod
    def write(self, built: Any, record: ArtefactRecord, path: Path) -> None:
        """Write to `path`, a file or an existing folder, all that `files` names."""

    @abstractmethod
    def open(self, path: Path, threads: int | None = None) -> Opened:
        """Open what `write` wrote.

        Args:
            path: the file or folder.
            threads: in which ONNX Runtime or OpenVINO computes, bound to no processor; as many as it takes by itself if
                None. Other formats have the threads of PyTorch, or of their own.

        Raises:
            ResnexusError: it cannot be read.
        """

    def files(self, path: Path) -> tuple[Path, ...]:
        """Return all files that `write` makes; the last is the one without which the others are nothing."""
        return (path,)

    def versions(self) -> dict[str, str]:
        """Return package -> version of what writes it.

        Raises:
            MissingPackageError: a package is not installed.
        """
        return {package: installed_version(package) for package in ("torch", *self.packages)}
