"""How a training ends that was asked to stop."""

from __future__ import annotations

import signal
import threading
from typing import Any

STOPPED_EXIT_CODE = 143
"""Of a training that was asked to stop by SIGTERM and kept where it was: 128 + SIGTERM."""


class Stopped(BaseException):
    """The training was asked to stop, and was kept: start it again and it goes on. Its text is the folder."""


def heard_by(handler: Any) -> None:
    """Let a handler hear SIGTERM; outside the main thread, to which alone Python delivers signals, do nothing."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)
