"""What is said of one input: PaddleClas's record, with a number and an error code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any


class ErrorCode(StrEnum):
    """Why an input has no answer; there are no others, and no text of a library stands in their place."""

    NOT_FOUND = "not_found"
    NOT_A_FILE = "not_a_file"
    NOT_READABLE = "not_readable"
    EMPTY = "empty"
    UNKNOWN_FORMAT = "unknown_format"
    DAMAGED = "damaged"
    TOO_LARGE = "too_large"
    UNSUPPORTED_PIXELS = "unsupported_pixels"
    OUT_OF_MEMORY = "out_of_memory"
    TIMED_OUT = "timed_out"
    DECODER_DIED = "decoder_died"
    ADDRESS_REFUSED = "address_refused"
    FETCH_FAILED = "fetch_failed"
    NOT_FINITE = "not_finite"


MEANINGS: Mapping[ErrorCode, str] = MappingProxyType(
    {
        ErrorCode.NOT_FOUND: "there is no such file",
        ErrorCode.NOT_A_FILE: "a folder, a pipe, a socket or a device",
        ErrorCode.NOT_READABLE: "the system refuses to read it",
        ErrorCode.EMPTY: "no bytes",
        ErrorCode.UNKNOWN_FORMAT: "none of the formats that are read, whatever it is called",
        ErrorCode.DAMAGED: "cut off, or not what its format says",
        ErrorCode.TOO_LARGE: "more bytes, pixels, scans or a longer side than are decoded",
        ErrorCode.UNSUPPORTED_PIXELS: "pixels that have no defined white, or an array that is no image",
        ErrorCode.OUT_OF_MEMORY: "decoding it takes more memory than it is given",
        ErrorCode.TIMED_OUT: "fetching and decoding it takes longer than it is given",
        ErrorCode.DECODER_DIED: "the process that decoded it died, three times",
        ErrorCode.ADDRESS_REFUSED: "no http(s) address, one of a private network, or one that leads there",
        ErrorCode.FETCH_FAILED: "the server or the store does not give it",
        ErrorCode.NOT_FINITE: "the network's answer is not finite",
    }
)
"""What each code means, as the documentation says it."""


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
