"""Targets and losses of the published recipes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


def soft_targets(labels: Tensor, num_classes: int) -> Tensor:
    """(N,) int64 labels -> (N, num_classes) float32, one-hot."""
    return F.one_hot(labels, num_classes).float()


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


def soft_cross_entropy(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean over the batch of -sum(t * log_softmax(logits)), t = (1 - smoothing) * targets + smoothing / classes.

    Label smoothing: Szegedy et al. 2015, arXiv:1512.00567.

    Args:
        logits: (N, classes).
        targets: (N, classes), each row summing to 1.
        smoothing: 0 for none.

    Returns:
        A scalar, float32 or wider.
    """
    classes = logits.shape[1]
    smoothed = (1 - smoothing) * targets + smoothing / classes
    return -(smoothed * F.log_softmax(logits.float() if logits.dtype.itemsize < 4 else logits, dim=1)).sum(1).mean()
