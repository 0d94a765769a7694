"""How a training ends that was asked to stop."""

from __future__ import annotations

STOPPED_EXIT_CODE = 143
"""Of a training that was asked to stop by SIGTERM and kept where it was: 128 + SIGTERM."""


class Stopped(BaseException):
    """The training was asked to stop, and was kept: start it again and it goes on. Its text is the folder."""
