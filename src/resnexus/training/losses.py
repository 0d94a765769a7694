"""Targets and losses of the recipes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

from torch import Tensor
from torch.nn import functional as F

from resnexus.training.sections import Distil, Target

UNLABELLED = -1
"""The label of a picture that has none."""


def soft_targets(labels: Tensor, num_classes: int) -> Tensor:
    """(N,) int64 labels -> (N, num_classes) float32, one-hot; a row of zeros where a label is `UNLABELLED`."""
    known = labels != UNLABELLED
    return F.one_hot(labels.clamp(min=0), num_classes).float() * known[:, None]


def loss_of(logits: Tensor, targets: Tensor, target: Target) -> Tensor:
    """Return a recipe's loss, a scalar in float32 or wider; (N, classes) logits and targets."""
    if target.loss == "binary_cross_entropy":
        return binary_cross_entropy(logits, targets, target.label_smoothing)
    return soft_cross_entropy(logits, targets, target.label_smoothing)


def distilled_loss(logits: Tensor, targets: Tensor, answers: Tensor, target: Target, distil: Distil) -> Tensor:
    """Return a recipe's loss with a teacher, a scalar: `label_weight` labels + `distillation_weight` distance.

    Both are means over the whole batch: a picture without a label counts in the first with 0.

    Args:
        logits: (N, classes).
        targets: (N, classes), each row summing to 1, or to 0 for a picture without a label.
        answers: (N, classes), the teacher's logits.
        target: of the recipe.
        distil: of the recipe.
    """
    loss = distil.distillation_weight * distance(logits, answers, distil)
    if distil.label_weight:
        loss = loss + distil.label_weight * loss_of(logits, targets, target)
    return loss


def distance(logits: Tensor, answers: Tensor, distil: Distil) -> Tensor:
    """Return how far a network's answers are from a teacher's: T^2 x the mean over the batch of a divergence.

    p and q are the teacher's and the network's softmax of logits / T; `DIVERGENCES` has the kinds. The gradient by the
    logits shrinks as 1 / T^2, which the factor makes good: with it the teacher weighs as much beside the labels at any
    T (Hinton et al. 2015, arXiv:1503.02531).

    Args:
        logits: (N, classes).
        answers: (N, classes), the teacher's logits.
        distil: the kind of divergence, and T, the temperature.

    Returns:
        A scalar, float32 or wider.
    """
    network = F.log_softmax(_wide(logits) / distil.temperature, dim=1)
    teacher = F.log_softmax(_wide(answers) / distil.temperature, dim=1)
    return distil.temperature**2 * DIVERGENCES[distil.distillation](network, teacher)


def kl(network: Tensor, teacher: Tensor) -> Tensor:
    """KL(p || q) = sum p log(p / q) over the classes, the mean over the batch; (N, classes) log q and log p."""
    return F.kl_div(network, teacher, reduction="batchmean", log_target=True)


def cross_entropy(network: Tensor, teacher: Tensor) -> Tensor:
    """-sum p log q: KL(p || q) and the entropy of p, which has no gradient; arguments as for `kl`."""
    return -(teacher.exp() * network).sum(1).mean()


def symmetric_kl(network: Tensor, teacher: Tensor) -> Tensor:
    """(KL(p || q) + KL(q || p)) / 2, which PaddleClas's `DMLLoss` computes; arguments as for `kl`."""
    return (kl(network, teacher) + kl(teacher, network)) / 2


def jensen_shannon(network: Tensor, teacher: Tensor) -> Tensor:
    """(KL(p || m) + KL(q || m)) / 2 with m = (p + q) / 2, at most log 2; arguments as for `kl`. Lin 1991.

    SSLD's description names this one, and its code computes `symmetric_kl`.
    """
    middle = network.logaddexp(teacher) - math.log(2)
    return (kl(middle, teacher) + kl(middle, network)) / 2


DIVERGENCES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = MappingProxyType(
    {
        "kl": kl,
        "cross_entropy": cross_entropy,
        "symmetric_kl": symmetric_kl,
        "jensen_shannon": jensen_shannon,
    }
)
"""How far a network is from its teacher, by the names of `Distil.distillation`."""


def soft_cross_entropy(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean over the batch of -sum(t * log_softmax(logits)), t = (1 - smoothing) * targets + smoothing / classes.

    Label smoothing: Szegedy et al. 2015, arXiv:1512.00567. What has no label has no t either, and what is mixed from a
    picture with a label and one without has so much of it as its targets sum to.

    Args:
        logits: (N, classes).
        targets: (N, classes), each row summing to 1, or to less for what is not labelled or only in part.
        smoothing: 0 for none.

    Returns:
        A scalar, float32 or wider.
    """
    asked = (1 - smoothing) * targets + smoothing * targets.sum(1, keepdim=True) / targets.shape[1]
    return -(asked * F.log_softmax(_wide(logits), dim=1)).sum(1).mean()


def binary_cross_entropy(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean over images and classes of -(t log s + (1 - t) log(1 - s)), s = sigmoid(logits), t = 1 where targets are.

    A mixed image is asked for both of its classes in full. Wightman et al. 2021, arXiv:2110.00476.

    Args:
        logits: (N, classes).
        targets: (N, classes); only whether they are above 0 counts, so that every image must have a label.
        smoothing: 0 for none; takes t to smoothing / classes and 1 - smoothing + smoothing / classes.

    Returns:
        A scalar, float32 or wider.
    """
    wanted = (targets > 0).to(targets.dtype)
    asked = (1 - smoothing) * wanted + smoothing / targets.shape[1]
    return F.binary_cross_entropy_with_logits(_wide(logits), asked.to(_wide(logits).dtype))


def _wide(logits: Tensor) -> Tensor:
    return logits.float() if logits.dtype.itemsize < 4 else logits
