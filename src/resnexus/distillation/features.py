"""What the teacher sees of pictures that are not of the pool, and of their mirror images."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from resnexus.data.error_codes import ErrorCode
from resnexus.distillation.cache import CacheRecord
from resnexus.distillation.pictures import Picture
from resnexus.distillation.scoring import teacher_runner
from resnexus.errors import ResnexusError, printable
from resnexus.prediction.bulk import absolute, one_thread
from resnexus.prediction.decoders import Decoder, fetch_limits, open_decoder
from resnexus.prediction.decoding import Decoding
from resnexus.prediction.inputs import Wanted
from resnexus.prediction.runner import Runner
from resnexus.prediction.settings import PredictionSettings
from resnexus.progress import Progress
from resnexus.teachers import TeacherModule

Array = np.ndarray[Any, np.dtype[Any]]

_ASKED = 1024
"""Pictures whose features are held before they are written."""


@dataclass(frozen=True, kw_only=True)
class Mirroring(Decoding):
    """How a picture becomes what the teacher sees of it, and of its mirror image: (2, size, size, C) uint8."""

    def made(self, source: Wanted) -> Array:
        """Return the plain view and its mirror image."""
        frame = self.preprocess.frame(self.pixels(source))
        return np.stack([frame, frame[:, ::-1]])


class AskedFeatures:
    """The teacher's features of pictures and of their mirror images, each asked for once.

    They are kept in a file without a name, 8 bytes a channel for each picture, which is gone when the process is.

    Args:
        pictures: that may be asked about.
        record: of the cache whose teacher it is.
        teacher: where the teacher is now; where it was if None.
        asking: how it is asked.
        folder: on whose disk the file is.
    """

    def __init__(
        self,
        pictures: Sequence[Picture],
        record: CacheRecord,
        teacher: str | TeacherModule | None,
        asking: PredictionSettings,
        folder: Path,
    ) -> None:
        self.pictures, self.record = pictures, record
        named = teacher or record.teacher
        self._teacher = named if isinstance(named, TeacherModule) else absolute(named)
        self._asking, self._folder = asking, folder
        self._known = np.zeros(len(pictures), bool)
        self._shape = (2, record.features)
        self._bytes = 4 * 2 * record.features
        self._runner: Runner | None = None

    def ask(self, numbers: Array, progress: Progress) -> None:
        """Ask about those pictures that were not asked about before.

        Raises:
            ResnexusError: the teacher cannot be opened or is another one than the cache's, or there is no room for what
                it says.
        """
        wanted = [int(number) for number in np.unique(numbers) if not self._known[number]]
        if not wanted:
            return
        runner, decoder = self._opened(progress)
        with progress.stage("asking the teacher", len(wanted)) as advance, one_thread():
            for start in range(0, len(wanted), _ASKED):
                part = wanted[start : start + _ASKED]
                pictures = [self.pictures[number] for number in part]
                self._keep(part, mirrored_features(pictures, decoder, runner, self.record.features))
                advance(len(part))

    def __getitem__(self, number: int) -> Array:
        """Return the features of a picture that was asked about: (2, C) float32, as `mirrored_features` gives them."""
        content = os.pread(self._file.fileno(), self._bytes, number * self._bytes)
        return np.frombuffer(content, np.float32).reshape(self._shape)

    def close(self) -> None:
        """Free the teacher, the workers and the file."""
        if self._runner is not None:
            self._decoder.close()
            self._runner.close()
            self._file.close()

    def _opened(self, progress: Progress) -> tuple[Runner, Decoder]:
        if self._runner is None:
            record = self.record
            runner = teacher_runner(self._teacher, self._asking, progress)
            if runner.card.weights != record.teacher_sha256:
                raise ResnexusError(
                    f"{runner.card.name} has other weights than those that scored the cache: give those"
                )
            runner.card = replace(runner.card, preprocess=record.preprocess)
            viewing = Mirroring(preprocess=record.preprocess, fetching=fetch_limits(self._asking))
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115  # lives as long as this
            self._decoder = open_decoder(viewing, self._asking, window=2 * record.batch_size)
            self._runner = runner
        return self._runner, self._decoder

    def _keep(self, numbers: Sequence[int], features: Array) -> None:
        try:
            for number, row in zip(numbers, features, strict=True):
                self._file.seek(number * self._bytes)
                self._file.write(row.tobytes())
            self._file.flush()
        except OSError as error:
            raise ResnexusError(
                f"cannot write to the disk of {printable(self._folder)}: {error.strerror or error}. Make room: the "
                f"features of {len(self.pictures):,} pictures may take {self._bytes * len(self.pictures):,} bytes there"
            ) from error
        self._known[list(numbers)] = True


def mirrored_features(pictures: Sequence[Picture], decoder: Decoder, runner: Runner, channels: int) -> Array:
    """Return the teacher's features of pictures and of their mirror images.

    Args:
        pictures: to look at.
        decoder: of a `Mirroring`.
        runner: the teacher, opened for its features.
        channels: of its features.

    Returns:
        (n, 2, C) float32, each of length 1; 0 for a picture that could not be read.
    """
    found: list[Array] = []
    waiting: list[Array] = []

    def answer() -> None:
        images = runner.card.preprocess.normalise(np.concatenate(waiting))
        answers = [runner(part).embeddings for part in torch.split(images, runner.card.batch_size)]
        features = torch.cat([part for part in answers if part is not None]).numpy()
        found.append(of_length_one(features).reshape(len(waiting), 2, -1))
        waiting.clear()

    places = []
    for place, (_, frames) in enumerate(decoder.decoded((picture, picture.source) for picture in pictures)):
        if isinstance(frames, ErrorCode):
            continue
        places.append(place)
        waiting.append(frames)
        if 2 * len(waiting) >= runner.card.batch_size:
            answer()
    if waiting:
        answer()
    every = np.zeros((len(pictures), 2, channels), np.float32)
    if found:
        every[places] = np.concatenate(found)
    return every


def of_length_one(features: Array) -> Array:
    """Divide rows by their lengths; those that are 0 or not finite become 0."""
    wide = features.astype(np.float32)
    wide[~np.isfinite(wide).all(1)] = 0
    found: Array = wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)
    return found
