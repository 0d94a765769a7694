"""What a student is asked for, as settings of a recipe."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from resnexus.errors import unknown
from resnexus.series.recipes import find_recipe
from resnexus.training.recipe import Recipe

OBJECTIVES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "kl": {"distillation": "kl"},
        "cross-entropy": {"distillation": "cross_entropy"},
        "jensen-shannon": {"distillation": "jensen_shannon"},
        "published": {"distillation": "symmetric_kl", "teacher_statistics": "batch"},
        "labels": {"distillation": "none", "label_weight": 1.0},
    }
)
"""What is asked for -> settings. `"published"` is what SSLD's code does: the symmetric divergence, and a teacher whose
normalisations go by the batch; `"labels"` is no distillation."""


def objective(
    recipe: str | os.PathLike[str] | Recipe,
    loss: str | None = None,
    label_weight: float | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Recipe:
    """Return a recipe with what a student is asked for.

    Args:
        recipe: as `find_recipe` takes it, or a recipe.
        loss: one of `OBJECTIVES`; that of the recipe if None.
        label_weight: of the labels' loss beside it; that of the recipe if None.
        changes: further settings of the recipe to change; they come last.

    Raises:
        ResnexusError: no such recipe, objective or setting.
    """
    found = recipe if isinstance(recipe, Recipe) else find_recipe(recipe)
    if loss is not None:
        if loss not in OBJECTIVES:
            raise unknown("loss", loss, OBJECTIVES)
        found = found.changed(OBJECTIVES[loss])
    if label_weight is not None:
        found = found.changed({"label_weight": float(label_weight)})
    return found.changed(changes or {})
