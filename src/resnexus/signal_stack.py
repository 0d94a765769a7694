"""The stack on which signal handlers run, kept from libraries that replace it."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class _Stack(ctypes.Structure):
    """`stack_t` of Linux."""

    _fields_ = (("pointer", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextmanager
def signal_stack_kept() -> Iterator[None]:
    """Put this thread's alternate signal stack back at the end of the block; outside Linux, do nothing.

    Every plugin that OpenVINO creates for the processor gives the thread a stack of its own, and puts the one back that
    it found when it is destroyed, unless another plugin came in between. Plugins that are not destroyed in the reverse
    of their order therefore leave a stack whose memory is gone. The next handler that asks for the alternate stack then
    ends the process without a word: Python's handlers all do, and PyTorch's DataLoader installs one for the end of a
    child. A plugin that does not find its own stack puts nothing back.
    """
    if sys.platform != "linux":
        yield
        return
    sigaltstack = ctypes.CDLL(None).sigaltstack
    before = _Stack()
    sigaltstack(None, ctypes.byref(before))
    try:
        yield
    finally:
        sigaltstack(ctypes.byref(before), None)
