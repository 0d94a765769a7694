"""Mixup and CutMix: two images in one, and the targets of both, as pure functions of a generator."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from resnexus.training.sections import Target


def mixed(images: Tensor, targets: Tensor, target: Target, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Blend a batch with a permutation of itself as a recipe says.

    Args:
        images: (N, C, H, W).
        targets: (N, classes), each row summing to 1.
        target: of the recipe.
        random: source of everything random.
    """
    both = target.mixup_alpha > 0 and target.cutmix_alpha > 0
    if random.random() < 0.5 if both else target.cutmix_alpha > 0:
        return cutmix(images, targets, target.cutmix_alpha, random)
    return mixup(images, targets, target.mixup_alpha, random)


def mixup(images: Tensor, targets: Tensor, alpha: float, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Blend a batch with a permutation of itself: lambda * a + (1 - lambda) * b.

    One lambda ~ Beta(alpha, alpha) for the whole batch. Zhang et al. 2017, arXiv:1710.09412.

    Args:
        images: (N, C, H, W).
        targets: (N, classes), each row summing to 1.
        alpha: of the Beta distribution; 0 leaves the batch as it is.
        random: source of lambda and the permutation.
    """
    if alpha == 0:
        return images, targets
    share = random.beta(alpha, alpha)
    other = torch.from_numpy(random.permutation(len(images))).to(images.device)
    return share * images + (1 - share) * images[other], share * targets + (1 - share) * targets[other]


def cutmix(images: Tensor, targets: Tensor, alpha: float, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Put a rectangle of a permutation of the batch into it; targets by the area that is left.

    One lambda ~ Beta(alpha, alpha) and one rectangle for the whole batch: sides sqrt(1 - lambda) of the image's, the
    centre drawn evenly, cut off at the border, and lambda then corrected to the area. Yun et al. 2019,
    arXiv:1905.04899.

    Args:
        images: (N, C, H, W).
        targets: (N, classes), each row summing to 1.
        alpha: of the Beta distribution; 0 leaves the batch as it is.
        random: source of lambda, the rectangle and the permutation.
    """
    if alpha == 0:
        return images, targets
    height, width = images.shape[-2:]
    side = (1 - random.beta(alpha, alpha)) ** 0.5
    down, across = int(random.integers(height)), int(random.integers(width))
    other = torch.from_numpy(random.permutation(len(images))).to(images.device)
    half_height, half_width = int(height * side) // 2, int(width * side) // 2
    top, bottom = max(0, down - half_height), min(height, down + half_height)
    left, right = max(0, across - half_width), min(width, across + half_width)
    result = images.clone()
    result[..., top:bottom, left:right] = images[other, :, top:bottom, left:right]
    share = 1 - (bottom - top) * (right - left) / (height * width)
    return result, share * targets + (1 - share) * targets[other]
