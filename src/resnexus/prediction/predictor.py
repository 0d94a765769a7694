"""A network with everything around it: pictures in, records out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from resnexus.data.error_codes import ErrorCode
from resnexus.data.preprocess import AnyImage
from resnexus.prediction.decoders import Decoder, fetch_limits, open_decoder
from resnexus.prediction.decoding import Decoding, Frame
from resnexus.prediction.inputs import Address, Input, Listing, is_address
from resnexus.prediction.opening import open_runner
from resnexus.prediction.record import Prediction
from resnexus.prediction.runner import Answers, Card, Runner
from resnexus.prediction.scoring import named, shortest
from resnexus.prediction.settings import PredictionSettings, settings_of
from resnexus.progress import Progress

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """A record with what it is about.

    Attributes:
        prediction: the record.
        frame: (size, size, C) uint8, what the network saw; None if nothing could be decoded.
        heat: (h, w) float32, the class activation map of the first class; None if it was not asked for, or no class
            could be named.
    """

    prediction: Prediction
    frame: Array | None = None
    heat: Array | None = None


class Predictor:
    """Holds a network, its preprocessing and its classes, and gives a record for every picture.

    It belongs to the process and the thread that opened it. Close it, or use it as a context manager, if it has
    workers; with `workers` above 0, a script needs `if __name__ == "__main__":` around what it runs, as with all
    processes of Python's.

    Args:
        model: a published network or a file of weights, as `resnexus.prediction.opening.open_runner` takes them; or a
            `Runner` that is open.
        settings: how it is asked.
        progress: told of a download, and of planning an engine.
        **options: fields of `PredictionSettings`, in place of `settings`.

    Attributes:
        card: what answers.
        settings: how it is asked.

    Raises:
        ResnexusError: no such network or file, an unknown option, or a value that is not accepted.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Runner,
        settings: PredictionSettings | None = None,
        *,
        progress: Progress | None = None,
        **options: Any,
    ) -> None:
        self.settings = settings_of(settings, options)
        self._runner = open_runner(model, self.settings, progress) if isinstance(model, (str, os.PathLike)) else model
        self._decoder = self._opened_decoder()

    @property
    def card(self) -> Card:
        """What answers."""
        return self._runner.card

    def __call__(self, image: AnyImage) -> Prediction:
        """Return the record of one picture.

        Args:
            image: a path, an http(s) or fsspec address, a PIL image, an (H, W, 3) RGB or (H, W) grey uint8 array, or
                the bytes of a file. A path is never taken for a folder or a pattern.
        """
        text = os.fsdecode(image) if isinstance(image, (str, os.PathLike)) else ""
        source = Address(text) if is_address(text) else image
        (found,) = self.seen([Input(0, text or "from memory", source)])
        return found.prediction

    def stream(self, inputs: Any) -> Iterator[Prediction]:
        """Yield the record of every picture, in order, as they are ready.

        Args:
            inputs: what `resnexus.prediction.inputs.Listing` takes, one or several; or `Input`s.

        Raises:
            ResnexusError: nothing is named, or a folder or pattern has no image.
        """
        for found in self.seen(listed(inputs)):
            yield found.prediction

    def seen(self, inputs: Iterable[Input]) -> Iterator[Seen]:
        """Yield the record of every input with what the network saw, in order, batch by batch."""
        group: list[tuple[Input, Frame]] = []
        for pair in self._decoder.frames(inputs):
            group.append(pair)
            if len(group) == self.card.batch_size:
                yield from self._answered(group)
                group = []
        if group:
            yield from self._answered(group)

    def close(self) -> None:
        """End the workers, and free the network."""
        self._decoder.close()
        self._runner.close()

    def __enter__(self) -> Predictor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _opened_decoder(self) -> Decoder:
        fetching = fetch_limits(self.settings)
        decoding = Decoding(preprocess=self.card.preprocess, whole=self.card.whole, fetching=fetching)
        return open_decoder(decoding, self.settings, window=2 * self.card.batch_size)

    def _answered(self, group: list[tuple[Input, Frame]]) -> Iterator[Seen]:
        frames = [frame for _, frame in group if not isinstance(frame, ErrorCode)]
        answers = None
        if frames:
            answers = self._runner(self._prepared(np.stack(frames)))
        found = iter(self._records(answers))
        for source, frame in group:
            if isinstance(frame, ErrorCode):
                yield Seen(prediction=Prediction(id=source.id, filename=source.name, error=frame))
            else:
                said, heat = next(found)
                yield Seen(
                    prediction=Prediction(id=source.id, filename=source.name, **said),
                    frame=self.card.preprocess.frame(frame) if self.card.whole else frame,
                    heat=heat if said.get("class_ids") else None,
                )

    def _prepared(self, frames: Array) -> Tensor:
        """Return what the runner takes."""
        return torch.from_numpy(frames) if self.card.whole else self.card.preprocess.normalise(frames)

    def _records(self, answers: Answers | None) -> Iterator[tuple[dict[str, Any], Array | None]]:
        """Yield for every image what its record says of the answer, and the heat of its first class."""
        if answers is None:
            return
        settings, classes = self.settings, self.card.classes
        every = named(
            answers.logits, topk=settings.topk, threshold=settings.threshold, multi_label=self.card.multi_label
        )
        for place, one in enumerate(every):
            if one is None:
                yield {"error": ErrorCode.NOT_FINITE}, None
                continue
            numbers, scores = one
            said: dict[str, Any] = {"class_ids": numbers, "scores": scores}
            if classes is not None:
                said["label_names"] = tuple(classes[number] for number in numbers)
            if settings.embeddings and answers.embeddings is not None:
                said["embedding"] = shortest(answers.embeddings[place].numpy())
            heat = answers.heat if settings.heatmaps else None
            yield said, None if heat is None else heat[place].numpy()


def listed(inputs: Any) -> Iterable[Input]:
    """Return what is named as inputs: one thing or several, or inputs as they are."""
    if isinstance(inputs, (str, os.PathLike, bytes, np.ndarray, Image.Image)) or hasattr(inputs, "read"):
        return Listing([inputs])
    if isinstance(inputs, (list, tuple)) and not all(isinstance(item, Input) for item in inputs):
        return Listing(inputs)
    return inputs  # a listing, or inputs one after the other


def predict(
    model: str | os.PathLike[str] | Runner, inputs: Any, *, progress: Progress | None = None, **options: Any
) -> list[Prediction]:
    """Return the record of every picture, in order: `class_ids`, `scores`, `label_names`, or the code of an error.

    For more pictures than memory holds records of, use `Predictor.stream`.

    Args:
        model: as for `Predictor`.
        inputs: paths, folders, patterns, addresses, PIL images, uint8 arrays: one, or a list of them.
        progress: told of a download, and of planning an engine.
        **options: fields of `resnexus.prediction.settings.PredictionSettings`, such as `topk=3`.

    Raises:
        ResnexusError: as for `Predictor` and its `stream`.
    """
    with Predictor(model, progress=progress, **options) as predictor:
        return list(predictor.stream(inputs))
