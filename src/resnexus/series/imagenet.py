"""The 1000 classes of ImageNet-1k, in the order of the logits."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files


@cache
def imagenet_classes() -> tuple[str, ...]:
    """Return the English name of each class, e.g. `"tench"` for 0; the names are torchvision's and all differ.

    The classes are the synsets of ILSVRC 2012 sorted by WordNet's number, which Paddle's, timm's and torchvision's
    networks have in common.
    """
    text = (files("resnexus.series") / "imagenet_classes.json").read_text(encoding="utf-8")
    return tuple(json.loads(text))
