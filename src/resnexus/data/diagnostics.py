"""What Pillow and libtiff say while an image is decoded: gathered for the image's own error instead of printed."""

from __future__ import annotations

import ctypes
import logging
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, TextIO

_LIMIT = 3
"""Different messages kept of one image; a damaged TIFF can bring hundreds."""


@dataclass(frozen=True)
class Remarks:
    """What was said about one image, at most the first few different messages of each kind.

    Attributes:
        errors: libtiff's errors. Pillow returns some images in spite of them, in part black.
        warnings: of Pillow and libtiff, and what Pillow logs.
    """

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


_local = threading.local()
_lock = threading.Lock()
# A process that is forked while another thread holds the lock would wait for ever.
os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


@contextmanager
def listening() -> Iterator[Remarks]:
    """Gather what Pillow warns of and libtiff says in this thread; what others decode meanwhile is not touched.

    libtiff is heard once `hear_libtiff` has been called.
    """
    remarks = Remarks()
    outer = getattr(_local, "remarks", None)
    _local.remarks = remarks
    _pillow.enter()
    try:
        yield remarks
    finally:
        _pillow.leave()
        _local.remarks = outer


class _PillowWarnings:
    """Catches Pillow's warnings as long as any thread listens.

    `warnings.catch_warnings` changes the whole process and must be left in the order in which it was entered, so only
    the first thread enters it and only the last leaves it.
    """

    def __init__(self) -> None:
        self._listeners = 0
        self._caught = warnings.catch_warnings()

    def enter(self) -> None:
        with _lock:
            self._listeners += 1
            if self._listeners > 1:
                return
            self._caught = warnings.catch_warnings()
            self._caught.__enter__()
            warnings.filterwarnings("always", module=r"PIL\.")
            show = warnings.showwarning

            def gather(
                message: Warning | str,
                category: type[Warning],
                filename: str,
                lineno: int,
                file: TextIO | None = None,
                line: str | None = None,
            ) -> None:
                remarks = getattr(_local, "remarks", None)
                if remarks is None or f"{os.sep}PIL{os.sep}" not in filename:
                    show(message, category, filename, lineno, file, line)
                else:
                    _keep(remarks.warnings, str(message).strip())

            warnings.showwarning = gather

    def leave(self) -> None:
        with _lock:
            self._listeners -= 1
            if not self._listeners:
                self._caught.__exit__(None, None, None)


_pillow = _PillowWarnings()


def _gather_log(record: logging.LogRecord) -> bool:
    remarks = getattr(_local, "remarks", None)
    if remarks is None:
        return True
    _keep(remarks.warnings, record.getMessage())
    return False


# The one part of Pillow that logs errors; without a log, Python prints them.
logging.getLogger("PIL.TiffImagePlugin").addFilter(_gather_log)

_Handler = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)
_handlers: list[Any] = []


def hear_libtiff() -> None:
    """Have libtiff tell `listening`, from now on, what it would print; in threads that do not listen it still prints.

    libtiff takes one function for the whole process, so this is done once and stays. Where Pillow was built with a
    libtiff that cannot be reached, it prints as before and the errors lack its words.
    """
    with _lock:
        if _handlers:
            return
        try:
            # The symbols of a library that another one was linked with are found through that one.
            library = ctypes.CDLL(import_module("PIL._imaging").__file__)
            setters = [library.TIFFSetErrorHandler, library.TIFFSetWarningHandler]
            vsnprintf = ctypes.CDLL(None).vsnprintf
        except (OSError, AttributeError, TypeError):
            return
        vsnprintf.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_void_p]
        for setter, kind in zip(setters, ("errors", "warnings"), strict=True):
            _set_handler(setter, kind, vsnprintf)


def _set_handler(setter: Any, kind: str, vsnprintf: Callable[..., int]) -> None:
    previous: list[Callable[..., None]] = []

    def handler(module: bytes | None, format_: bytes, arguments: int) -> None:
        remarks = getattr(_local, "remarks", None)
        if remarks is None:
            for function in previous:
                function(module, format_, arguments)
            return
        text = ctypes.create_string_buffer(300)
        vsnprintf(text, len(text), format_, arguments)
        words = text.value if module is None else module + b": " + text.value
        _keep(getattr(remarks, kind), words.decode(errors="replace"))

    setter.argtypes, setter.restype = [_Handler], ctypes.c_void_p
    _handlers.append(_Handler(handler))  # libtiff does not keep it alive
    address = setter(_handlers[-1])
    if address:
        previous.append(_Handler(address))


def _keep(messages: list[str], message: str) -> None:
    if len(messages) < _LIMIT and message not in messages:
        messages.append(message)
