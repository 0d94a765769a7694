"""From an input to the pixels that a network sees, or to the code of what is wrong with it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from resnexus.data.error_codes import ErrorCode
from resnexus.data.images import MAX_BYTES
from resnexus.data.preprocess import AnyImage, Preprocess
from resnexus.data.sources import ImageError
from resnexus.errors import ResnexusError
from resnexus.packages import MissingPackageError
from resnexus.prediction.fetching import FetchError, FetchLimits, fetch_image
from resnexus.prediction.inputs import Address, Member, Wanted
from resnexus.prediction.stores import path_here, read_stored

Array = np.ndarray[Any, np.dtype[Any]]
Frame: TypeAlias = Array | ErrorCode
"""(size, size, C) uint8, resized and cropped but not normalised, or a whole picture (H, W, C); or why there is none."""


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How inputs become pixels; called on one, gives its `Frame`.

    Attributes:
        preprocess: how images are prepared.
        whole: leave pictures as large as they are.
        fetching: limits of what is brought from elsewhere.
    """

    preprocess: Preprocess
    whole: bool = False
    fetching: FetchLimits = field(default_factory=FetchLimits)

    def __call__(self, source: Any) -> Frame:
        """Return what is made of an input, or an error code; raises nothing that an input can cause.

        Raises:
            MissingPackageError: its store needs a package that is not installed, as for all that lies there.
        """
        try:
            return self.made(source)
        except ImageError as error:
            return error.fault
        except FetchError as error:
            return error.code
        except MemoryError:
            return ErrorCode.OUT_OF_MEMORY
        except RuntimeError as error:  # PyTorch's way to say it
            if "allocate memory" not in str(error):
                raise
            return ErrorCode.OUT_OF_MEMORY
        except MissingPackageError:
            raise
        except ResnexusError:  # an array of another shape or dtype
            return ErrorCode.UNSUPPORTED_PIXELS

    def made(self, source: Any) -> Array:
        """Return what is made of an input: here, of a `Wanted`, the pixels that the network sees."""
        pixels = self.pixels(source)
        return np.ascontiguousarray(pixels if self.whole else self.preprocess.frame(pixels))

    def pixels(self, source: Wanted) -> Array:
        """Return an input, neither resized nor cropped: (H, W, C) uint8; raises what a call turns into a code."""
        return self.preprocess.pixels(self._brought(source))

    def _brought(self, source: Wanted) -> AnyImage:
        if isinstance(source, Member):
            return _read_member(source)
        if not isinstance(source, Address):
            return source
        if source.url.lower().startswith(("http://", "https://")):
            return fetch_image(source.url, self.fetching)
        path = path_here(source.url)
        if path is not None:  # opened as any file is: fsspec would wait for ever for what comes out of a pipe
            return path
        return read_stored(source.url, private=self.fetching.private)


def _read_member(member: Member) -> bytes:
    try:
        with open(member.shard, "rb", buffering=0) as file:
            file.seek(member.offset)
            content = file.read(min(member.size, MAX_BYTES + 1))
    except FileNotFoundError as error:
        raise FetchError(ErrorCode.NOT_FOUND) from error
    except OSError as error:
        raise FetchError(ErrorCode.NOT_READABLE) from error
    if len(content) < member.size:
        raise FetchError(ErrorCode.TOO_LARGE if len(content) > MAX_BYTES else ErrorCode.DAMAGED)
    return content


_decoding: Decoding | None = None


def begin_worker(decoding: Decoding, memory_limit: int) -> None:
    """Prepare a process that decodes: one thread, no output, and no more memory than it is given.

    Args:
        decoding: for `decode_in_worker`.
        memory_limit: MiB besides what the process takes now.
    """
    global _decoding  # noqa: PLW0603  # a worker decodes for one network as long as it lives
    import torch

    _decoding = decoding
    torch.set_num_threads(1)
    _quiet_opencv()
    # Some decoders written in C print, whatever Python does.
    silent = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(silent, stream)
    os.close(silent)
    _limit_memory(memory_limit)


def decode_in_worker(source: Any) -> Frame:
    """Return what is made of an input by what `begin_worker` was told."""
    if _decoding is None:
        raise RuntimeError("begin_worker comes first")
    return _decoding(source)


def _quiet_opencv() -> None:
    try:
        import cv2
    except ImportError:
        return
    cv2.setNumThreads(1)


def _limit_memory(mebibytes: int) -> None:
    """Bound the address space; the system then refuses memory, and the image is the one that gets none."""
    import resource

    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            taken = int(file.read().split()[0]) * resource.getpagesize()
    except OSError:  # no Linux: there is nothing to add the limit to
        return
    limit = taken + mebibytes * 2**20
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
