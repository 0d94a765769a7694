import pytest
import torch

from resnexus.errors import ResnexusError
from resnexus.evaluation.confusion import class_accuracies, confusion_matrix, worst_confusions

LABELS = torch.tensor([0, 0, 0, 1, 1, 1, 3, 3])
ANSWERS = (0, 1, 1, 1, 0, 3, 0, 0)
# The sizes say how sure of its answer the network is.
SURE = (5.0, 1.0, 4.0, 2.0, 3.0, 1.0, 2.0, 6.0)
LOGITS = torch.zeros(8, 4)
for image, (answer, size) in enumerate(zip(ANSWERS, SURE, strict=True)):
    LOGITS[image, answer] = size
MATRIX = [[1, 2, 0, 0], [1, 1, 0, 1], [0, 0, 0, 0], [2, 0, 0, 0]]


def test_the_matrix_by_hand():
    assert confusion_matrix(LOGITS, LABELS).tolist() == MATRIX


def test_every_cell_counts_its_images():
    logits, labels = torch.randn(400, 9), torch.randint(0, 9, (400,))
    found = confusion_matrix(logits, labels)
    for label in range(9):
        for answer in range(9):
            assert found[label, answer] == int(((labels == label) & (logits.argmax(1) == answer)).sum())


def test_classes_by_hand():
    found = class_accuracies(confusion_matrix(LOGITS, LABELS))
    assert [(one.number, one.top1.right, one.top1.images, one.taken_for, one.times) for one in found] == [
        (0, 1, 3, 1, 2),
        (1, 1, 3, 0, 1),
        (3, 0, 2, 0, 2),
    ]
    (perfect,) = class_accuracies(torch.tensor([[2, 0], [0, 0]]))
    assert (perfect.taken_for, perfect.times) == (None, 0)


def test_worst_confusions_by_hand():
    matrix = confusion_matrix(LOGITS, LABELS)
    found = worst_confusions(LOGITS, LABELS, matrix, count=3, examples=2)
    assert [(one.label, one.predicted, one.images, one.examples) for one in found] == [
        (0, 1, 2, (2, 1)),
        (3, 0, 2, (7, 6)),
        (1, 0, 1, (4,)),
    ]
    assert [one.share for one in found] == [2 / 3, 1, 1 / 3]
    assert worst_confusions(LOGITS, LABELS, matrix, count=1, examples=0)[0].examples == ()
    right = torch.eye(3)
    assert worst_confusions(right, torch.arange(3), confusion_matrix(right, torch.arange(3)), 5, 5) == ()


def test_labels_that_are_no_classes():
    with pytest.raises(ResnexusError, match="labels 0 to 4: expected 0 to 3"):
        confusion_matrix(LOGITS, LABELS + LABELS.eq(3))
    with pytest.raises(ResnexusError, match=r"expected \(N, classes\) and \(N,\)"):
        confusion_matrix(LOGITS, LABELS[:3])
