"""Where Resnexus keeps what it fetched and built on this machine."""

from __future__ import annotations

import os
from pathlib import Path

HOME_VARIABLE = "RESNEXUS_HOME"


def home() -> Path:
    """Return the folder: the one that RESNEXUS_HOME names, or one in the system's place for caches."""
    chosen = os.environ.get(HOME_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return platformdirs.user_cache_path("resnexus", appauthor=False)
