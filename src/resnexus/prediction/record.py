"""What is said of one input: PaddleClas's record, with a number and an error code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from resnexus.data.error_codes import ErrorCode


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a network says of one input.

    Attributes:
        id: number of the input, from 0.
        filename: what the input is called: its path, address, or where it lies in a shard.
        class_ids: numbers of the classes that are named, the most probable first.
        scores: their probabilities, 0 to 1, of float32.
        label_names: what these classes are called; empty if nobody says.
        error: why there is no answer; None if there is one.
        embedding: the pooled features before the last layer, float32; None if they were not asked for.
    """

    id: int
    filename: str
    class_ids: tuple[int, ...] = ()
    scores: tuple[float, ...] = ()
    label_names: tuple[str, ...] = ()
    error: ErrorCode | None = None
    embedding: tuple[float, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON can hold it; `embedding` only if it was asked for."""
        found = {
            "id": self.id,
            "filename": self.filename,
            "class_ids": list(self.class_ids),
            "scores": list(self.scores),
            "label_names": list(self.label_names),
            "error": None if self.error is None else self.error.value,
        }
        return found if self.embedding is None else {**found, "embedding": list(self.embedding)}
