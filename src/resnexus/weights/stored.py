"""What a pickle says about arrays: the few names it may use, and what NumPy and Paddle apply them to.

A name becomes a `Symbol`, which nothing can call. `applied` and `complete` spell out every use of a symbol that NumPy
and Paddle make; any other is an error.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

DTYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")

MAX_AXES = 32


class Symbol(Enum):
    """The names that a weight file may contain; the values are for messages."""

    RECONSTRUCT = "numpy's _reconstruct"
    NDARRAY = "numpy.ndarray"
    DTYPE = "numpy.dtype"
    FROMBUFFER = "numpy's _frombuffer"
    ENCODE = "_codecs.encode"
    BYTES = "bytes"
    ORDERED_DICT = "collections.OrderedDict"
    TUPLE = "tuple"


SYMBOLS = {
    ("numpy.core.multiarray", "_reconstruct"): Symbol.RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): Symbol.RECONSTRUCT,
    ("numpy", "ndarray"): Symbol.NDARRAY,
    ("numpy", "dtype"): Symbol.DTYPE,
    ("numpy.core.numeric", "_frombuffer"): Symbol.FROMBUFFER,
    ("numpy._core.numeric", "_frombuffer"): Symbol.FROMBUFFER,
    ("_codecs", "encode"): Symbol.ENCODE,
    ("__builtin__", "bytes"): Symbol.BYTES,
    ("collections", "OrderedDict"): Symbol.ORDERED_DICT,
    ("builtins", "tuple"): Symbol.TUPLE,
    ("__builtin__", "tuple"): Symbol.TUPLE,
}

_NO_DTYPE = np.dtype(np.void)


@dataclass(frozen=True, slots=True)
class Span:
    """Contents that still lie in the file.

    Attributes:
        offset: first byte.
        length: number of bytes.
        text: they are latin-1 characters stored as UTF-8.
    """

    offset: int
    length: int
    text: bool


Contents = bytes | str | Span
"""Contents of an array: bytes, or latin-1 characters for them as protocol 2 writes, or where either lies."""


@dataclass(eq=False, slots=True)
class StoredDtype:
    """The type of an array's elements: one of `DTYPES`, and its byte order once the file has told it."""

    code: str
    order: str = ""


@dataclass(eq=False, slots=True)
class StoredArray:
    """An array of the file; `data` is None until the file has described it.

    Attributes:
        shape: lengths of the axes.
        dtype: type of the elements, in the file's byte order.
        fortran: the first axis is contiguous, not the last.
        data: the elements in the file's byte order.
    """

    shape: tuple[int, ...] = ()
    dtype: np.dtype[Any] = _NO_DTYPE
    fortran: bool = False
    data: Contents | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of the contents, which for a `Span` of text are fewer than it stores."""
        return math.prod(self.shape) * self.dtype.itemsize

    def describe(self, shape: Sequence[object], dtype: StoredDtype, fortran: bool, data: Contents) -> None:
        """Fill in everything.

        Raises:
            ValueError: shape, dtype and contents do not fit each other.
        """
        axes = tuple(axis for axis in shape if type(axis) is int and axis >= 0)
        if len(axes) != len(shape) or len(axes) > MAX_AXES:
            raise ValueError(f"the shape is not a tuple of at most {MAX_AXES} lengths")
        if not dtype.order:
            raise ValueError(f"dtype {dtype.code!r} has no byte order")
        self.dtype = np.dtype(dtype.order + dtype.code)
        # An axis of length 0 does not make the others harmless: NumPy multiplies them all.
        if math.prod(max(axis, 1) for axis in axes) * self.dtype.itemsize > sys.maxsize:
            raise ValueError("the shape is larger than memory can be")
        self.shape, self.fortran, self.data = axes, fortran and len(axes) > 1, data
        stored = data.length if isinstance(data, Span) else len(data)
        as_text = isinstance(data, Span) and data.text  # one or two bytes for each
        if not (self.nbytes <= stored <= 2 * self.nbytes if as_text else self.nbytes == stored):
            raise ValueError(f"{self.dtype.name} {axes} needs {self.nbytes:,} bytes, and {stored:,} are stored")


def applied(function: object, arguments: object) -> object:
    """Return what `function` makes of `arguments`.

    Raises:
        ValueError: neither NumPy nor Paddle applies it so.
    """
    match function, arguments if isinstance(arguments, tuple) else None:
        case Symbol.RECONSTRUCT, (Symbol.NDARRAY, (0,), str() | bytes()):
            return StoredArray()
        case Symbol.FROMBUFFER, (contents, StoredDtype() as dtype, tuple() as shape, "C" | "F" as order):
            array = StoredArray()
            array.describe(shape, dtype, order == "F", _contents(contents))
            return array
        case Symbol.DTYPE, (str(code), 0, 1):
            if code not in DTYPES:
                raise ValueError(f"dtype {shown(code)} is not one of {', '.join(DTYPES)}")
            return StoredDtype(code)
        case Symbol.ENCODE, (str() | Span() as contents, "latin1"):
            return contents
        case Symbol.BYTES, ():  # how protocol 2 writes the contents of an array without elements
            return b""
        case Symbol.ORDERED_DICT, ():
            return {}
        case Symbol.TUPLE, (tuple() as items,):  # Paddle writes a tensor as its name and its array
            return items
    raise ValueError(f"{shown(function)} is applied as neither NumPy nor Paddle does")


def complete(target: object, state: object) -> None:
    """Give an array or a dtype its state.

    Raises:
        ValueError: it is something else, has a state already, or the state is none that NumPy writes.
    """
    match target, state if isinstance(state, tuple) else None:
        case StoredArray(data=None), (1, tuple() as shape, StoredDtype() as dtype, bool() as fortran, contents):
            target.describe(shape, dtype, fortran, _contents(contents))
        case StoredDtype(code=code, order=""), (3, "<" | ">" | "|" as order, None, None, None, -1, -1, 0):
            if (order == "|") != code.endswith("1"):
                raise ValueError(f"byte order {order!r} does not fit dtype {code!r}")
            target.order = order
        case _:
            raise ValueError(f"{shown(target)} is given a state that NumPy does not write")


def _contents(value: object) -> Contents:
    if isinstance(value, bytes | str | Span):
        return value
    raise ValueError(f"{shown(value)} stands for the contents of an array")


def shown(value: object) -> str:
    """Return a short and harmless description of something from a file, for messages."""
    if isinstance(value, str):
        return repr(value if len(value) <= 80 else value[:77] + "...")
    if isinstance(value, Symbol):
        return value.value
    if isinstance(value, Span):
        return f"a string of {value.length:,} bytes"
    kinds = {StoredArray: "an array", StoredDtype: "a dtype", bytes: "bytes", int: "an integer", type(None): "None"}
    return kinds.get(type(value), f"a {type(value).__name__}")
