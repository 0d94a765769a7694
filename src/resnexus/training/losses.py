"""Targets and losses of the recipes."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from resnexus.training.sections import Distil, Target


def soft_targets(labels: Tensor, num_classes: int) -> Tensor:
    """(N,) int64 labels -> (N, num_classes) float32, one-hot."""
    return F.one_hot(labels, num_classes).float()


def loss_of(logits: Tensor, targets: Tensor, target: Target) -> Tensor:
    """Return a recipe's loss, a scalar in float32 or wider; (N, classes) logits and targets."""
    if target.loss == "binary_cross_entropy":
        return binary_cross_entropy(logits, targets, target.label_smoothing)
    return soft_cross_entropy(logits, targets, target.label_smoothing)


def distilled_loss(logits: Tensor, targets: Tensor, answers: Tensor, target: Target, distil: Distil) -> Tensor:
    """Return a recipe's loss with a teacher, a scalar: `label_weight` labels + `distillation_weight` distance.

    Args:
        logits: (N, classes).
        targets: (N, classes), each row summing to 1.
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

    p and q are the teacher's and the network's softmax of logits / T. The divergence is KL(p || q) = sum p log(p / q)
    over the classes; or (KL(p || q) + KL(q || p)) / 2, which PaddleClas's `DMLLoss` computes and SSLD's description
    calls the Jensen-Shannon divergence.

    Args:
        logits: (N, classes).
        answers: (N, classes), the teacher's logits.
        distil: the kind of divergence, and T, the temperature.

    Returns:
        A scalar, float32 or wider.
    """
    network = F.log_softmax(_wide(logits) / distil.temperature, dim=1)
    teacher = F.log_softmax(_wide(answers) / distil.temperature, dim=1)
    found = F.kl_div(network, teacher, reduction="batchmean", log_target=True)
    if distil.distillation == "symmetric_kl":
        found = (found + F.kl_div(teacher, network, reduction="batchmean", log_target=True)) / 2
    return distil.temperature**2 * found


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
    return -(_smoothed(targets, smoothing) * F.log_softmax(_wide(logits), dim=1)).sum(1).mean()


def binary_cross_entropy(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean over images and classes of -(t log s + (1 - t) log(1 - s)), s = sigmoid(logits), t = 1 where targets are.

    A mixed image is asked for both of its classes in full. Wightman et al. 2021, arXiv:2110.00476.

    Args:
        logits: (N, classes).
        targets: (N, classes); only whether they are above 0 counts.
        smoothing: 0 for none; takes t to smoothing / classes and 1 - smoothing + smoothing / classes.

    Returns:
        A scalar, float32 or wider.
    """
    asked = _smoothed((targets > 0).to(targets.dtype), smoothing)
    return F.binary_cross_entropy_with_logits(_wide(logits), asked.to(_wide(logits).dtype))


def _smoothed(targets: Tensor, smoothing: float) -> Tensor:
    return (1 - smoothing) * targets + smoothing / targets.shape[1]


def _wide(logits: Tensor) -> Tensor:
    return logits.float() if logits.dtype.itemsize < 4 else logits
