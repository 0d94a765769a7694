"""From kept logits to the parts of a record."""

from __future__ import annotations

from collections.abc import Iterator

from resnexus.assessment.images import Questions
from resnexus.assessment.settings import AssessmentSettings
from resnexus.data.batches import BadImage
from resnexus.errors import printable
from resnexus.evaluation.confusion import class_accuracies, confusion_matrix, worst_confusions
from resnexus.evaluation.intervals import Share, share
from resnexus.evaluation.metrics import top_k_correct
from resnexus.evaluation.predictions import Predictions
from resnexus.evaluation.significance import PairedAnswers, mcnemar
from resnexus.report.evaluation_record import EvaluatedClass, EvaluatedConfusion, EvaluatedImages, EvaluatedNetwork
from resnexus.subject import Subject

_IMAGENET_VAL = 50_000
_WNID = "wnid"


def share_of(predictions: Predictions, k: int) -> Share:
    """Return the share of images whose label is among the `k` largest logits of those that compete."""
    right = top_k_correct(*predictions.answers, k)
    return share(int(right.sum()), len(right))


def paired_with(found: Predictions, plain: Predictions) -> PairedAnswers | None:
    """Compare two passes over the same images; None if one could not read all that the other could."""
    return mcnemar(found.right, plain.right) if found.keys == plain.keys else None


def network_part(subject: Subject, questions: Questions) -> EvaluatedNetwork:
    """Say which network it was, and what was published for it if that is about these images."""
    published = subject.published
    whole = len(questions.labelling.targets) == len(questions.classes)
    comparable = questions.labelling.naming.name == _WNID and whole
    return EvaluatedNetwork(
        name=subject.name,
        architecture=subject.architecture,
        weights_sha256=subject.weights_sha256,
        published=published.name if published else None,
        published_top1=published.published.top1 if published and comparable else None,
        published_top5=published.published.top5 if published and comparable else None,
    )


def images_part(questions: Questions, predictions: Predictions, skipped: tuple[BadImage, ...]) -> EvaluatedImages:
    """Say which images it were."""
    return EvaluatedImages(
        name=questions.name,
        labels=questions.labelling.naming.name,
        what=questions.labelling.naming.what,
        part=questions.part,
        count=len(predictions.files),
        classes=len(set(predictions.labels.tolist())),
        competing=len(predictions.competing),
        sha256=predictions.images_sha256,
        skipped=tuple(map(str, skipped)),
        ignored=questions.ignored,
    )


def classes_part(predictions: Predictions) -> tuple[EvaluatedClass, ...]:
    """Return the accuracy of every class that has images."""
    names = _names(predictions)
    return tuple(
        EvaluatedClass(
            name=names[found.number],
            top1=found.top1,
            taken_for=None if found.taken_for is None else names[found.taken_for],
            times=found.times,
        )
        for found in class_accuracies(confusion_matrix(*predictions.answers))
    )


def confusions_part(predictions: Predictions, settings: AssessmentSettings) -> tuple[EvaluatedConfusion, ...]:
    """Return the most frequent confusions, with the files of some."""
    names = _names(predictions)
    logits, labels = predictions.answers
    matrix = confusion_matrix(logits, labels)
    return tuple(
        EvaluatedConfusion(
            label=names[found.label],
            predicted=names[found.predicted],
            images=found.images,
            share=found.share,
            files=tuple(printable(predictions.files[place]) for place in found.examples),
        )
        for found in worst_confusions(logits, labels, matrix, settings.confusions, settings.examples)
    )


def _names(predictions: Predictions) -> list[str]:
    """Return the names of the outputs that compete."""
    return [printable(predictions.classes[number]) for number in predictions.competing.tolist()]


def notes_part(subject: Subject, questions: Questions, predictions: Predictions) -> Iterator[str]:
    """Yield what a reader of the figures should know."""
    count = len(predictions.files)
    if network_part(subject, questions).published_top1 is not None and count != _IMAGENET_VAL:
        yield f"The published accuracies are of {_IMAGENET_VAL:,} validation images, and these are {count:,}."
    competing, classes = len(predictions.competing), len(set(predictions.labels.tolist()))
    if competing > classes:
        yield f"{competing:,} classes compete, and {classes:,} of them have images."
