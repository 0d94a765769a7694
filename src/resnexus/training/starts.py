"""With what a training was started, and started again: versions, machine, command, state of git."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from resnexus.machine import processor_name
from resnexus.records import RecordError, read_json, write_json
from resnexus.version import __version__

FILE = "starts.json"


def note_start(out: Path) -> None:
    """Add this start to `starts.json` in the folder of a training; the oldest stands first.

    A file there that is no list of starts is kept beside it as `starts.json.damaged`.
    """
    path = out / FILE
    write_json([*_before(path), _start()], path)


def _before(path: Path) -> tuple[dict[str, Any], ...]:
    if not path.is_file():
        return ()
    try:
        return read_json(tuple[dict[str, Any], ...], path)
    except RecordError:
        path.replace(path.with_name(f"{path.name}.damaged"))
        return ()


def _start() -> dict[str, Any]:
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(sys.argv),
        "processor": processor_name(),
        "python": platform.python_version(),
        "resnexus": __version__,
        **{name: version(name) for name in ("torch", "torchvision", "lightning", "numpy")},
        "git": git_state(Path.cwd()),
    }


def git_state(folder: Path) -> dict[str, Any] | None:
    """Return commit and whether anything differs from it, of the repository that a folder is in; None if in none."""
    commit, status = (_git(folder, *words) for words in (("rev-parse", "HEAD"), ("status", "--porcelain")))
    if commit is None or status is None:
        return None
    return {"commit": commit.strip(), "changed": bool(status.strip())}


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):  # there is no git, or it waits for a slow disk
        return None
    return done.stdout if done.returncode == 0 else None
