"""Stochastic depth: a training step leaves out the branches of some blocks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from resnexus.errors import ResnexusError


class DropPath(nn.Module):
    """Leaves out the branch of an image with probability `rate` in training, and scales those that stay.

    x -> x m / (1 - rate), m Bernoulli(1 - rate) for each image; Huang et al. 2016, arXiv:1603.09382. The draws are
    those of PyTorch's generator, which a training seeds for every step.

    Args:
        rate: from 0 to below 1.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        if not (self.training and self.rate):
            return x
        stays = torch.rand(len(x), 1, 1, 1, device=x.device) >= self.rate
        return x * (stays.to(x.dtype) / (1 - self.rate))


def set_drop_path(network: nn.Module, rate: float) -> None:
    """Give every block of a network its probability, from 0 for the first to `rate` for the last, in place.

    Raises:
        ResnexusError: no part of the network has a `drop_path` to set.
    """
    blocks = [module for module in network.modules() if isinstance(getattr(module, "drop_path", None), nn.Module)]
    if not blocks:
        raise ResnexusError(f"drop_path={rate}: a {type(network).__name__} has no blocks with a drop_path")
    for number, block in enumerate(blocks):
        block.drop_path = DropPath(rate * number / max(1, len(blocks) - 1)).train(block.training)
