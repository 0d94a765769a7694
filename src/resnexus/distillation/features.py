"""What the teacher sees of pictures that are not of the pool, and of their mirror images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from resnexus.data.error_codes import ErrorCode
from resnexus.distillation.pictures import Picture
from resnexus.prediction.decoders import Decoder
from resnexus.prediction.decoding import Decoding
from resnexus.prediction.inputs import Wanted
from resnexus.prediction.runner import Runner

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, kw_only=True)
class Mirroring(Decoding):
    """How a picture becomes what the teacher sees of it, and of its mirror image: (2, size, size, C) uint8."""

    def made(self, source: Wanted) -> Array:
        """Return the plain view and its mirror image."""
        frame = self.preprocess.frame(self.pixels(source))
        return np.stack([frame, frame[:, ::-1]])


def mirrored_features(pictures: Sequence[Picture], decoder: Decoder, runner: Runner) -> Array:
    """Return the teacher's features of pictures and of their mirror images.

    Args:
        pictures: to look at.
        decoder: of a `Mirroring`.
        runner: the teacher, opened for its features.

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
    if not found:
        return np.zeros((len(pictures), 2, 1), np.float32)
    every = np.zeros((len(pictures), *found[0].shape[1:]), np.float32)
    every[places] = np.concatenate(found)
    return every


def of_length_one(features: Array) -> Array:
    """Divide rows by their lengths; those that are 0 or not finite become 0."""
    wide = features.astype(np.float32)
    wide[~np.isfinite(wide).all(1)] = 0
    found: Array = wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)
    return found
