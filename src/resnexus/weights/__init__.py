"""Trained weights: where they come from, how they are read safely, and how their names map to ours."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resnexus.weights.checkpoint_file import CheckpointRecord as CheckpointRecord
    from resnexus.weights.checkpoint_file import read_record as read_record
    from resnexus.weights.mapping import from_paddle as from_paddle
    from resnexus.weights.mapping import to_paddle as to_paddle
    from resnexus.weights.pdparams import read_pdparams as read_pdparams

_HOME = {
    "CheckpointRecord": "resnexus.weights.checkpoint_file",
    "from_paddle": "resnexus.weights.mapping",
    "read_pdparams": "resnexus.weights.pdparams",
    "read_record": "resnexus.weights.checkpoint_file",
    "to_paddle": "resnexus.weights.mapping",
}

__all__ = [*_HOME]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'resnexus.weights' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
