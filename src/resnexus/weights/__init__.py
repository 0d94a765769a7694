"""Trained weights: where they come from, how they are read safely, and how their names map to ours."""

from resnexus.weights.mapping import from_paddle, to_paddle

__all__ = ["from_paddle", "to_paddle"]
