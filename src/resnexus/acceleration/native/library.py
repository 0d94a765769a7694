"""The compiled kernels, and the structures in which Python describes layers to them."""

from __future__ import annotations

import ctypes
import hashlib
import os
from ctypes import POINTER, Structure, c_bool, c_float, c_int, c_int32, c_int64, c_void_p
from functools import cache
from pathlib import Path
from types import MappingProxyType

from resnexus.acceleration.backends.contract import BackendError
from resnexus.acceleration.native.compiler import digest_of
from resnexus.errors import printable
from resnexus.trust import check_own


class Tensor(Structure):
    """Activations in memory; strides in floats. As in tensor.hpp."""

    _fields_ = (
        ("data", c_void_p),
        *((name, c_int32) for name in ("blocks", "images", "height", "width", "pixel", "row", "image", "block")),
    )


class Epilogue(Structure):
    """What happens to the result of a convolution. As in epilogue.hpp; the last three are filled in there."""

    _fields_ = (
        ("bias", c_void_p),
        ("activation", c_int64),
        ("out", Tensor),
        ("residual", Tensor),
        ("gate", Tensor),
        ("onward", Tensor),
        ("least", c_float),
        ("simple", c_bool),
        ("dense", c_bool),
    )


class Convolution(Structure):
    """As in convolution.hpp."""

    _fields_ = (
        ("in_", Tensor),
        ("stride", c_int64),
        ("offsets", c_void_p),
        ("depth", c_int64),
        ("weights", c_void_p),
        ("panels", c_int64),
        ("panels_per_group", c_int64),
        ("group_offset", c_int64),
        ("epilogue", Epilogue),
    )


class Strassen(Structure):
    """As in strassen.hpp."""

    _fields_ = (
        ("in_", Tensor),
        ("channels", c_void_p),
        ("depth", c_int64),
        ("weights", c_void_p),
        ("epilogue", Epilogue),
    )


class Winograd(Structure):
    """As in winograd.hpp."""

    _fields_ = (
        ("in_", Tensor),
        ("channels", c_void_p),
        ("depth", c_int64),
        ("weights", c_void_p),
        ("panels", c_int64),
        ("epilogue", Epilogue),
    )


class Grouped(Structure):
    """As in grouped.hpp."""

    _fields_ = (
        ("in_", Tensor),
        ("stride", c_int64),
        ("width", c_int64),
        ("weights", c_void_p),
        ("epilogue", Epilogue),
    )


class Pool(Structure):
    """As in pool.hpp."""

    _fields_ = (
        ("in_", Tensor),
        ("out", Tensor),
        *((name, c_int64) for name in ("kernel", "stride", "padding", "maximum", "counts_padding")),
    )


class Mean(Structure):
    """As in pool.hpp."""

    _fields_ = (("in_", Tensor), ("out", Tensor))


class Gated(Structure):
    """As in pool.hpp."""

    _fields_ = (("in_", Tensor), ("gate", Tensor), ("residual", Tensor), ("out", Tensor))


class Write(Structure):
    """As in pool.hpp."""

    _fields_ = (("in_", Tensor), *((name, c_int64) for name in ("output", "first", "channels")))


STRUCTURES: MappingProxyType[str, type[Structure]] = MappingProxyType(
    {
        "convolution": Convolution,
        "strassen": Strassen,
        "winograd": Winograd,
        "grouped": Grouped,
        "pool": Pool,
        "mean": Mean,
        "gated": Gated,
        "write": Write,
    }
)


@cache
def open_library(path: Path) -> ctypes.CDLL:
    """Load the compiled kernels, once in a process.

    What is loaded is what was checked: the file is opened, its owner and content are those of the opened file, and the
    system loads it through the same descriptor, which stays open (another file under its number would pass for it).

    Args:
        path: what `library_in` returned.

    Raises:
        BackendError: the file is not what its name says, or cannot be loaded here.
        TrustError: somebody else could have written the file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise BackendError(f"the compiled kernels {printable(path)} cannot be read: {error.strerror}") from error
    try:
        check_own(path, descriptor)
        with open(descriptor, "rb", closefd=False) as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != digest_of(path):
                raise BackendError(f"the compiled kernels {printable(path)} are damaged: remove the file")
        opened = Path(f"/proc/self/fd/{descriptor}")
        found = ctypes.CDLL(str(opened if opened.exists() else path))
    except BaseException as error:
        os.close(descriptor)
        if isinstance(error, OSError):
            raise BackendError(f"the compiled kernels {printable(path)} cannot be loaded: {error}") from error
        raise
    found.program_create.restype = c_void_p
    found.program_create.argtypes = [c_int, c_int]
    found.program_destroy.argtypes = [c_void_p]
    found.program_part.restype = c_void_p
    found.program_part.argtypes = [c_void_p, c_int]
    found.part_ends.argtypes = [c_void_p, POINTER(Tensor), POINTER(c_int64), c_int]
    found.program_run.restype = c_bool
    found.program_run.argtypes = [c_void_p, c_void_p, POINTER(c_void_p)]
    for name, structure in STRUCTURES.items():
        getattr(found, f"add_{name}").argtypes = [c_void_p, POINTER(structure)]
    return found
