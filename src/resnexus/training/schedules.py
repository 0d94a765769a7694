"""The learning rate of every step, as a pure function of the step's number."""

from __future__ import annotations

import math
from collections.abc import Callable

from resnexus.training.sections import Rate


def rate_factor(rate: Rate, epochs: int, steps_per_epoch: int) -> Callable[[int], float]:
    """Return step -> what the learning rate is multiplied with in that step, the first being 0.

    Warm-up, w steps: start + (1 - start) t / w. Then the cosine over the remaining n steps,
    end + (1 - end) (1 + cos(pi t / n)) / 2, t counting from the warm-up's end; or gamma to the number of milestones
    that the epoch has reached.

    Args:
        rate: of a recipe.
        epochs: of the training.
        steps_per_epoch: optimiser steps in each.
    """
    total = epochs * steps_per_epoch
    warm = round(rate.warmup_epochs * steps_per_epoch)

    def factor(step: int) -> float:
        if step < warm:
            return rate.warmup_start + (1 - rate.warmup_start) * step / warm
        if rate.lr_schedule == "step":
            return rate.lr_gamma ** sum(step >= milestone * steps_per_epoch for milestone in rate.lr_milestones)
        along = min(1.0, (step - warm) / max(1, total - warm))
        return rate.lr_end + (1 - rate.lr_end) * (1 + math.cos(math.pi * along)) / 2

    return factor
