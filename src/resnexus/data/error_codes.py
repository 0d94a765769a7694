"""Why an image or an input has no answer: the codes, for programs, and what each of them means."""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class ErrorCode(StrEnum):
    """Why an input has no answer; there are no others, and no text of a library stands in their place.

    Those down to `OUT_OF_MEMORY` are about an image itself, and an `ImageError` has one of them.

    Attributes:
        meaning: in words, as the documentation says it.
    """

    _value_: str
    meaning: str

    NOT_FOUND = "not_found", "there is no such file"
    NOT_A_FILE = "not_a_file", "a folder, a pipe, a socket or a device"
    NOT_READABLE = "not_readable", "the system refuses to read it"
    EMPTY = "empty", "no bytes"
    UNKNOWN_FORMAT = "unknown_format", "none of the formats that are read, whatever it is called"
    DAMAGED = "damaged", "cut off, or not what its format says"
    TOO_LARGE = "too_large", "more bytes, pixels, scans or a longer side than are decoded"
    UNSUPPORTED_PIXELS = "unsupported_pixels", "pixels that have no defined white, or an array that is no image"
    OUT_OF_MEMORY = "out_of_memory", "decoding it takes more memory than it is given"
    TIMED_OUT = "timed_out", "fetching and decoding it takes longer than it is given"
    DECODER_DIED = "decoder_died", "the process that decoded it died, three times"
    ADDRESS_REFUSED = "address_refused", "no URL and no store, one of a private network, or one that leads there"
    FETCH_FAILED = "fetch_failed", "the server or the store does not give it"
    NOT_FINITE = "not_finite", "the network's answer is not finite"

    def __new__(cls, code: str, meaning: str) -> Self:
        """Make a member that is its code, and has its meaning beside."""
        member = str.__new__(cls, code)
        member._value_, member.meaning = code, meaning
        return member
