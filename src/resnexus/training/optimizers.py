"""The optimiser of a recipe, and the groups of parameters that it treats alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import nn

from resnexus.errors import ResnexusError
from resnexus.training.lamb import Lamb
from resnexus.training.recipe import Recipe
from resnexus.training.sections import Optim

PartOf: TypeAlias = Callable[[str], int | None]
"""Name of a parameter -> its part of the network: 0 for stem and stage 0, 1 for stage 1, and so on; None for the rest,
which has the factor of the head."""


def classifier_part(name: str) -> int | None:
    """Return the part of a classifier that a parameter belongs to, as `PartOf` says.

    Raises:
        ResnexusError: it is in no stage that has a number, as in networks of other libraries.
    """
    kind, _, rest = name.partition(".")
    if kind == "head":
        return None
    number = "0" if kind == "stem" else rest.partition(".")[0]
    if kind not in ("stem", "stages") or not number.isdecimal():
        raise ResnexusError(
            f"stage_lr: parameter {name!r} is in no stage of the network: set stage_lr=[] and stage_lr_decay=1 for one "
            "rate"
        )
    return int(number)


def optimizer(network: nn.Module, recipe: Recipe, part_of: PartOf = classifier_part) -> torch.optim.Optimizer:
    """Return the recipe's optimiser over the parameters of a network that need gradients.

    Args:
        network: what is trained.
        recipe: of the training.
        part_of: tells the parts of the network, which have rates of their own.

    Raises:
        ResnexusError: as `stage_factors`.
    """
    optim = recipe.optim
    groups = parameter_groups(network, optim, part_of)
    for group in groups:
        group["lr"] = recipe.scaled_lr * group.pop("factor")
    if optim.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.scaled_lr, momentum=optim.momentum, nesterov=optim.nesterov)
    first, second = optim.betas
    kind = torch.optim.AdamW if optim.optimizer == "adamw" else Lamb
    return kind(groups, lr=recipe.scaled_lr, betas=(first, second), eps=optim.eps)


def parameter_groups(network: nn.Module, optim: Optim, part_of: PartOf = classifier_part) -> list[dict[str, Any]]:
    """Return the parameters that need gradients, grouped by decay and by factor of the learning rate.

    Every group has `params`, `weight_decay` and `factor`; groups without parameters are left out.

    Raises:
        ResnexusError: as `stage_factors`.
    """
    factors = stage_factors(network, optim, part_of)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        vector = optim.without_decay == "vectors" and parameter.ndim <= 1
        decay = 0.0 if vector else optim.weight_decay
        groups.setdefault((decay, _factor(name, factors, part_of)), []).append(parameter)
    return [
        {"params": parameters, "weight_decay": decay, "factor": factor}
        for (decay, factor), parameters in groups.items()
    ]


def freeze(network: nn.Module, parts: int) -> None:
    """Take the stem and the first stages out of the training: no gradients, normalisations by running statistics.

    Call it again whenever the network was set to training mode.

    Args:
        network: with `stem` and `stages`.
        parts: 0 for nothing, 1 for the stem, 2 for stem and stage 0, and so on.

    Raises:
        ResnexusError: a network without stem and stages, as those of other libraries are.
    """
    if not parts:
        return
    stem, stages = (getattr(network, name, None) for name in ("stem", "stages"))
    if not (isinstance(stem, nn.Module) and isinstance(stages, nn.Module)):
        raise ResnexusError(
            f"freeze_stages={parts}: a {type(network).__name__} has no stem and stages to freeze: set it to 0"
        )
    for module in [stem, *stages.children()][:parts]:
        module.eval()
        module.requires_grad_(False)


def stage_factors(network: nn.Module, optim: Optim, part_of: PartOf = classifier_part) -> tuple[float, ...]:
    """Return the factors of the learning rate of stem and stage 0, of each further stage, and of the head.

    Empty where there is one rate: `stage_lr` as it stands, or powers of `stage_lr_decay`, as many as fit the network.

    Raises:
        ResnexusError: `stage_lr` has not one factor for every part, of which some would have no effect; names both
            numbers.
    """
    factors = optim.stage_lr
    if not factors and optim.stage_lr_decay == 1:
        return ()
    parts = [part for name, _ in network.named_parameters() if (part := part_of(name)) is not None]
    stages = 1 + max(parts, default=-1)
    if not factors:
        return tuple(optim.stage_lr_decay**distance for distance in range(stages, -1, -1))
    if len(factors) != stages + 1:
        raise ResnexusError(
            f"stage_lr={factors}: number of factors {len(factors)}, stages of the network {stages}: expected "
            f"{stages + 1}, one for stem and stage 0, one for each further stage and one for the head; or stage_lr=[] "
            "for one rate"
        )
    return factors


def _factor(name: str, factors: tuple[float, ...], part_of: PartOf) -> float:
    """Return the factor of a parameter: stem and stage 0, stage 1, .., the rest."""
    if not factors:
        return 1.0
    part = part_of(name)
    return factors[-1] if part is None else factors[part]
