"""Which classes a network knows, and what it takes them for."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from resnexus.errors import ResnexusError
from resnexus.evaluation.intervals import Share, share
from resnexus.evaluation.metrics import check_shapes, predicted


@dataclass(frozen=True, kw_only=True)
class ClassAccuracy:
    """One class.

    Attributes:
        number: of the class.
        top1: of its images.
        taken_for: number of the class that its images are most often mistaken for; None if none is.
        times: how often that is.
    """

    number: int
    top1: Share
    taken_for: int | None
    times: int


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """Images of one class that were taken for another.

    Attributes:
        label: number of their class.
        predicted: number of the class that they were taken for.
        images: how many.
        share: of the images of their class, a fraction.
        examples: numbers of the images, those first of whose wrong class the network is surest.
    """

    label: int
    predicted: int
    images: int
    share: float
    examples: tuple[int, ...]


def confusion_matrix(logits: Tensor, labels: Tensor) -> Tensor:
    """Count answers: (classes, classes) int64, the row is the label and the column the largest logit.

    Args:
        logits: (N, classes), any floating-point dtype.
        labels: (N,) int64.

    Raises:
        ResnexusError: shapes that do not fit, or a label that is no class.
    """
    check_shapes(logits, labels)
    classes = logits.shape[1]
    if len(labels) and not (int(labels.min()) >= 0 and int(labels.max()) < classes):
        raise ResnexusError(f"labels {int(labels.min())} to {int(labels.max())}: expected 0 to {classes - 1}")
    places = labels * classes + predicted(logits)
    return torch.bincount(places, minlength=classes**2).reshape(classes, classes)


def class_accuracies(matrix: Tensor) -> tuple[ClassAccuracy, ...]:
    """Return the accuracy of every class that has images, in their order; `matrix` as `confusion_matrix` counts."""
    wrong = matrix.clone().fill_diagonal_(0)
    times, taken_for = wrong.max(1)
    return tuple(
        ClassAccuracy(
            number=number,
            top1=share(int(matrix[number, number]), images),
            taken_for=int(taken_for[number]) if times[number] else None,
            times=int(times[number]),
        )
        for number, images in enumerate(matrix.sum(1).tolist())
        if images
    )


def worst_confusions(
    logits: Tensor, labels: Tensor, matrix: Tensor, count: int, examples: int
) -> tuple[Confusion, ...]:
    """Return the pairs of classes that are mistaken most often, the most frequent first; of equals the first class.

    Args:
        logits: (N, classes), any floating-point dtype.
        labels: (N,) int64.
        matrix: of these logits, as `confusion_matrix` counts.
        count: pairs at most.
        examples: images of each at most.
    """
    wrong = matrix.clone().fill_diagonal_(0).flatten()
    order = wrong.argsort(descending=True, stable=True)[:count]
    answers = predicted(logits)
    found = []
    for place in order[wrong[order] > 0].tolist():
        label, answer = divmod(place, len(matrix))
        images = ((labels == label) & (answers == answer)).nonzero()[:, 0]
        surest = logits[images].double().softmax(1)[:, answer].argsort(descending=True, stable=True)
        found.append(
            Confusion(
                label=label,
                predicted=answer,
                images=len(images),
                share=len(images) / int(matrix[label].sum()),
                examples=tuple(images[surest[:examples]].tolist()),
            )
        )
    return tuple(found)
