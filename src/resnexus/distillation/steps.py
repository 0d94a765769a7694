"""The steps of a run, each done once: a finished one is known by what it depends on, and by what it left."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from resnexus.errors import ResnexusError, printable
from resnexus.progress import Progress
from resnexus.records import read_json, write_json
from resnexus.version import __version__
from resnexus.weights.checkpoint_file import sha256

_FOLDER = "steps"
_SHOWN = 8
"""Digits of a key in the name of a step's folder."""


@dataclass(frozen=True, kw_only=True)
class Left:
    """What a step leaves.

    Attributes:
        files: that later steps read, or the user does.
        figures: what it found, by name; plain values.
    """

    files: tuple[Path, ...] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The record of a finished step.

    Attributes:
        name: of the step.
        key: SHA-256 over all that it depends on; under another one it is another step.
        files: place within the run's folder -> SHA-256.
        figures: what it found.
        seconds: that it took, of the process that finished it.
    """

    name: str
    key: str
    files: dict[str, str]
    figures: dict[str, Any]
    seconds: float

    @property
    def digest(self) -> str:
        """What steps that follow depend on: the key, and all that was left."""
        return _hashed([self.key, self.files, self.figures])


class Steps:
    """The steps of a run.

    A step lies in a folder of its own, whose name ends with the beginning of its key: under other settings it lies
    beside what was done before, and steps that the change does not touch are kept.

    Args:
        out: folder of the run.
        progress: where to report.
        clock: seconds.

    Attributes:
        done: the steps of this run so far, by name.
    """

    def __init__(self, out: Path, progress: Progress, clock: Callable[[], float] = time.perf_counter) -> None:
        self.out, self.progress, self.clock = out, progress, clock
        self.done: dict[str, Finished] = {}

    def step(self, name: str, depends: Mapping[str, Any], job: Callable[[Path], Left], *after: str) -> Finished:
        """Do a step, unless it is finished.

        Args:
            name: of the step, unique in a run.
            depends: all that it depends on beside the steps before; plain values.
            job: does it in the folder that it is given, going on with what an interrupted one left there.
            after: names of the steps whose results it reads.

        Raises:
            ResnexusError: a file of a finished step was changed, or what the job raises.
        """
        content = [name, depends, [self.done[before].digest for before in after], __version__, torch.__version__]
        key = _hashed(content)
        folder = self.out / _FOLDER / f"{name}-{key[:_SHOWN]}"
        record = self.out / _FOLDER / f"{name}-{key[:_SHOWN]}.json"
        if record.is_file():
            found = read_json(Finished, record)
            self._check(found)
            self.progress.say(f"{name}: finished before, kept")
        else:
            start = self.clock()
            left = job(folder)
            digests = {str(path.relative_to(self.out)): sha256(path) for path in left.files}
            found = Finished(
                name=name, key=key, files=digests, figures=dict(left.figures), seconds=self.clock() - start
            )
            write_json(found, record)
        self.done[name] = found
        return found

    def file(self, name: str, ending: str) -> Path:
        """Return the one file of a finished step whose place ends so."""
        (found,) = (place for place in self.done[name].files if place.endswith(ending))
        return self.out / found

    def _check(self, found: Finished) -> None:
        for place, digest in found.files.items():
            path = self.out / place
            if not path.is_file() or sha256(path) != digest:
                raise ResnexusError(
                    f"{printable(path)} is not what the step {found.name} left: put it back, or remove "
                    f"{printable(self.out / _FOLDER)}/{found.name}-{found.key[:_SHOWN]}.json to do the step again"
                )


def _hashed(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode("utf-8", "backslashreplace")).hexdigest()
