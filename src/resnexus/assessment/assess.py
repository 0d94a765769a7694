"""Evaluate a network: one pass whose logits are kept, everything else from them, and other passes if asked for."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from resnexus.assessment.counting import (
    classes_part,
    confusions_part,
    images_part,
    network_part,
    notes_part,
    share_of,
)
from resnexus.assessment.folder import held, read_evaluation, write_evaluation
from resnexus.assessment.images import Questions, open_questions
from resnexus.assessment.passes import Passes
from resnexus.assessment.settings import AssessmentSettings
from resnexus.benchmark.environment import environment
from resnexus.data.folders import ignored_note
from resnexus.data.preprocess import Preprocess
from resnexus.devices import device_named
from resnexus.errors import ResnexusError, printable
from resnexus.evaluation.calibration import calibration
from resnexus.evaluation.corruptions.errors import corruption_errors
from resnexus.evaluation.predictions import Predictions, paired
from resnexus.evaluation.real_labels import check_numbers, read_real, real_accuracy
from resnexus.evaluation.significance import PairedAnswers, mcnemar
from resnexus.progress import Progress, Silent
from resnexus.report.evaluation_record import Corrupted, EvaluationRecord, Opponent
from resnexus.report.thumbnails import thumbnail
from resnexus.subject import open_subject


@dataclass(frozen=True, kw_only=True, eq=False)
class Assessment:
    """What an evaluation found.

    Attributes:
        record: all figures.
        predictions: the kept logits.
        thumbnails: pictures of the worst confusions, by the name of their file, as data addresses of HTML.
    """

    record: EvaluationRecord
    predictions: Predictions
    thumbnails: dict[str, str]


def assess(
    model: str | os.PathLike[str],
    data: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str] | None = None,
    settings: AssessmentSettings | None = None,
    architecture: str | None = None,
    command: str = "",
    progress: Progress | None = None,
) -> Assessment:
    """Evaluate a network on labelled images.

    Args:
        model: a published network, or a file of weights, as `subject.open_subject` takes them.
        data: a folder of images, or the name of an embedded data set, as `open_dataset` takes them.
        out: folder for `index.html`, `evaluation.json`, `predictions.npz` and `tables/`; nothing is written if None.
        settings: what is asked; the plain evaluation if None.
        architecture: the network of a file, where names and shapes cannot tell.
        command: as it was typed, for the record.
        progress: where to report; nowhere if None.

    Raises:
        ResnexusError: the network, the images, a setting or the folder cannot be used; the message says what can.
    """
    settings, progress = settings or AssessmentSettings(), progress or Silent()
    device_named(settings.device)
    if out is None:
        return _assessed(model, data, settings, architecture, command, progress)
    with held(Path(out)):
        found = _assessed(model, data, settings, architecture, command, progress)
        write_evaluation(found.record, found.predictions, found.thumbnails, Path(out))
    return found


def _assessed(
    model: str | os.PathLike[str],
    data: str | os.PathLike[str],
    settings: AssessmentSettings,
    architecture: str | None,
    command: str,
    progress: Progress,
) -> Assessment:
    device = device_named(settings.device)
    real = None if settings.real is None else read_real(settings.real)
    opponent = None if settings.against is None else read_evaluation(Path(settings.against))
    subject = open_subject(model, architecture, progress)
    questions = open_questions(data, subject, settings)
    if real is not None and not questions.labelling.imagenet:
        raise ResnexusError(f"real={printable(settings.real)}: {subject.name} has other classes than ImageNet's")
    if real is not None:  # before the pass, which may take hours
        check_numbers(map(questions.originals.name, range(len(questions.originals))), real)
    if questions.ignored:
        progress.say(ignored_note(questions.ignored))
    passes = Passes(subject.network.to(device), questions, settings, progress)
    start = time.perf_counter()
    predictions, skipped = passes.run(questions.preprocess, "evaluating")
    seconds = time.perf_counter() - start
    # Before the other passes: what does not fit is told at once.
    real_share = None if real is None else real_accuracy(predictions.logits, predictions.files, real)
    pairs = None if opponent is None else mcnemar(*paired(predictions, opponent[1]))
    variations, corruptions = tuple(passes.variations(predictions)), tuple(passes.corruptions())
    like = (settings.seed, questions.preprocess)
    record = EvaluationRecord(
        network=network_part(subject, questions),
        images=images_part(questions, predictions, skipped),
        preprocess=questions.preprocess,
        precision=settings.precision,
        device=str(device),
        command=printable(command),
        environment=environment(),
        seconds=seconds,
        predictions_sha256=predictions.digest,
        top1=share_of(predictions, 1),
        top5=share_of(predictions, 5),
        real=real_share,
        calibration=calibration(*predictions.answers),
        classes=classes_part(predictions),
        confusions=confusions_part(predictions, settings),
        variations=variations,
        corruptions=corruptions,
        corruption_seed=settings.seed,
        against=None if opponent is None or pairs is None else _against(pairs, corruptions, like, opponent[0]),
        notes=(*questions.notes, *notes_part(subject, questions, predictions)),
    )
    return Assessment(record=record, predictions=predictions, thumbnails=_thumbnails(record, questions))


def _against(
    pairs: PairedAnswers, corruptions: tuple[Corrupted, ...], like: tuple[int, Preprocess], record: EvaluationRecord
) -> Opponent:
    """Compare with another evaluation; its pictures are corrupted alike if seed and preparation are the same."""
    alike = like == (record.corruption_seed, record.preprocess)
    return Opponent(
        name=record.network.name,
        predictions_sha256=record.predictions_sha256,
        paired=pairs,
        corruption_errors=corruption_errors(_errors(corruptions), _errors(record.corruptions)) if alike else {},
    )


def _errors(found: tuple[Corrupted, ...]) -> dict[tuple[str, int], float]:
    return {(one.name, one.severity): 1 - one.top1.value for one in found}


def _thumbnails(record: EvaluationRecord, questions: Questions) -> dict[str, str]:
    originals = questions.originals
    wanted = {file for found in record.confusions for file in found.files}
    places = {printable(originals.name(place)): place for place in range(len(originals))}
    return {file: thumbnail(questions.preprocess.pixels(originals.source(places[file]))) for file in sorted(wanted)}
