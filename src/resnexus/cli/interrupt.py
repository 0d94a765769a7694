"""Ctrl-C that ends a command whatever it is doing."""

from __future__ import annotations

import _thread
import atexit
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import NoReturn

SENTENCE = "interrupted; what was finished is kept"

EXIT_CODE = 130
"""The shells' exit code for Ctrl-C: 128 + SIGINT."""

AGAIN_S = 2.0
"""Seconds after which an interruption that ended nothing is raised again."""

IMPORT_S = 1.0
"""Seconds that an import may go on after the signal."""

_TICK_S = 0.05


class Interrupt:
    """Ends its `with` block after SIGINT, or the process if that is within an import.

    Python raises KeyboardInterrupt once, wherever the main thread happens to be, and that is not enough:

    - In a finaliser, or in a callback of the garbage collector or of a weak reference, it is printed and dropped; a
      library may catch it or turn it into another error. So the signal is sent again every `AGAIN_S` seconds until the
      block ends. A library that ignores SIGINT while it tidies up, as Lightning does, is left in peace for as long.
    - Within an import it leaves modules half made, in which NumPy recurses without end, or meets C++ that can only
      abort the process. So it is raised after the import; if that takes longer than `IMPORT_S`, the process ends.
      No file is half written under its own name then: see `resnexus.files`.

    A call into C++ goes on until it returns: Python hears no signal before.

    SIGINT is heard even if the process that started this one ignores it, as a script does for what it starts with `&`:
    whoever sends it wants the command to end. Outside the main thread, to which alone Python delivers signals, the
    block runs as it is.

    Args:
        clock: seconds; counts the time since the signal.

    Attributes:
        received: whether SIGINT came.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.received = False
        self._clock = clock
        self._ended = False
        self._importing = False
        self._previous: object = None

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended = True
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)  # type: ignore[arg-type]  # what signal.signal returned

    def _handle(self, _signal: int, frame: FrameType | None) -> None:
        self._importing = _imports(frame)
        if not self.received:
            self.received = True
            # Not threading.Thread: the signal may have come while this thread holds one of the locks in there.
            _thread.start_new_thread(self._insist, ())
        if not self._importing:
            raise KeyboardInterrupt

    def _insist(self) -> None:
        main = threading.main_thread().ident or 0
        start = sent = self._clock()
        while True:
            time.sleep(_TICK_S)
            if self._ended:
                return
            now = self._clock()
            if self._importing and now - start > IMPORT_S:
                _end_process_here()
            if self._importing or now - sent > AGAIN_S:
                signal.pthread_kill(main, signal.SIGINT)
                sent = now


def _imports(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def end_process(error: BaseException) -> NoReturn:
    """End the process as interrupted, with what is registered for its end.

    The interpreter is not taken apart: with PyTorch loaded that takes more than a second of computing.

    Args:
        error: what the interruption became; its notes say what is lost.
    """
    print("; ".join([SENTENCE, *dict.fromkeys(_notes(error))]), file=sys.stderr)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # a pipe whose reader is gone
            stream.flush()
    os._exit(EXIT_CODE)


def _notes(error: BaseException | None) -> Iterator[str]:
    """Yield the notes of an error and of those it came from: a second signal replaces what the first one raised."""
    while error is not None:
        yield from getattr(error, "__notes__", ())
        error = error.__cause__ or error.__context__


def _end_process_here() -> NoReturn:
    # Without the interpreter's buffers and locks, which the main thread may hold.
    os.write(2, f"{SENTENCE}\n".encode())
    os._exit(EXIT_CODE)
