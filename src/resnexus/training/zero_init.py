"""Blocks that begin as their shortcuts."""

from __future__ import annotations

from torch import nn

from resnexus.errors import ResnexusError


def zero_init_residual(network: nn.Module) -> None:
    """Set the scale of the last normalisation of every block's branch to 0, in place.

    Each block then computes relu(shortcut(x)) at first; Goyal et al. 2017, arXiv:1706.02677. The published networks of
    the series begin at 1.

    Raises:
        ResnexusError: no part of the network is a block with a branch that ends in a normalisation.
    """
    branches = [getattr(module, "branch", None) for module in network.modules()]
    last = [norms[-1] for branch in branches if isinstance(branch, nn.Module) and (norms := _norms(branch))]
    if not last:
        raise ResnexusError(f"zero_init_residual=True: a {type(network).__name__} has no blocks with a branch")
    for norm in last:
        nn.init.zeros_(norm.weight)


def _norms(branch: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in branch.modules() if isinstance(module, nn.BatchNorm2d)]
