"""Bytes that this process holds on the C heap: exact, whatever else the machine does."""

from __future__ import annotations

import ctypes
import gc

import pytest

_FIELDS = ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")


class _Mallinfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in _FIELDS]


_mallinfo = getattr(ctypes.CDLL(None), "mallinfo2", None)
if _mallinfo is not None:
    _mallinfo.restype = _Mallinfo

counted = pytest.mark.skipif(_mallinfo is None, reason="the heap is counted by glibc")


def held() -> int:
    """Return the bytes that are allocated and not freed, those of PyTorch and of our kernels included.

    Python's own small objects come from elsewhere and do not count.
    """
    gc.collect()
    info = _mallinfo()
    return info.uordblks + info.hblkhd
