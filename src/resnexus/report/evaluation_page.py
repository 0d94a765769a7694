"""The page of an evaluation, and the tables beside it."""

from __future__ import annotations

from dataclasses import dataclass
from math import isclose
from pathlib import Path

from resnexus.errors import printable
from resnexus.evaluation.calibration import MAX_TEMPERATURE, MIN_TEMPERATURE
from resnexus.evaluation.confusion import confusion_matrix
from resnexus.evaluation.predictions import Predictions
from resnexus.files import write_text
from resnexus.report.evaluation_record import EvaluationRecord
from resnexus.report.evaluation_tables import (
    accuracy_table,
    calibration_table,
    class_table,
    confusion_table,
    corruption_errors_against,
    corruption_table,
    p_value,
    variation_table,
    worst_classes,
)
from resnexus.report.printing import counted, has_top5, number, percent, signed
from resnexus.report.table import Table, to_csv, to_markdown
from resnexus.report.templates import shipped, template

GENERATOR = "resnexus evaluate"
"""By which a page is known as an evaluation's; a comparison's has another name, and neither replaces the other."""

_MATRIX_CLASSES = 30
"""The confusion matrix is shown whole up to so many classes."""
_WORST = 15


@dataclass(frozen=True, kw_only=True)
class MatrixCell:
    """A cell of the confusion matrix: images, and their part of the row, a fraction."""

    images: int
    part: float


def write_page(record: EvaluationRecord, predictions: Predictions, thumbnails: dict[str, str], out: Path) -> Path:
    """Write `index.html`, which needs no other file and no network, and `tables/`; return the page.

    Args:
        record: what was found.
        predictions: the kept logits, for the confusion matrix.
        thumbnails: pictures by the names of their files.
        out: the folder.

    Raises:
        ResnexusError: a file cannot be written, or jinja2 is not installed.
    """
    text = render(record, predictions, thumbnails)
    tables = [
        accuracy_table(record),
        class_table(record.classes, "classes", "Accuracy of every class"),
        confusion_table(record),
        calibration_table(record),
        *_others(record).values(),
    ]
    write_text(to_csv(_every_answer(predictions)), out / "tables" / "confusion_matrix.csv")
    for table in filter(None, tables):
        write_text(to_markdown(table), out / "tables" / f"{table.name}.md")
        write_text(to_csv(table), out / "tables" / f"{table.name}.csv")
    write_text(text, out / "index.html")
    return out / "index.html"


def render(record: EvaluationRecord, predictions: Predictions, thumbnails: dict[str, str]) -> str:
    """Return the page as HTML; the same evaluation gives the same bytes."""
    few = len(record.classes) <= _WORST
    return str(
        template("evaluation.html").render(
            record=record,
            generator=GENERATOR,
            css=shipped("page.css"),
            title=f"{Path(record.network.name).name} on {record.images.name}",
            findings=findings(record),
            facts=facts(record),
            accuracy=accuracy_table(record),
            worst=None if few else worst_classes(record, _WORST),
            classes=class_table(record.classes, "classes", "Accuracy of every class"),
            confusions=confusion_table(record),
            matrix=_matrix(predictions),
            calibration=calibration_table(record),
            others=_others(record),
            thumbnails=thumbnails,
            percent=percent,
        )
    )


def findings(record: EvaluationRecord) -> list[str]:
    """Return what the evaluation found, in sentences."""
    top1, found = record.top1, record.calibration
    top5 = f" and {percent(record.top5.value)} % top-5" if has_top5(record.images.competing) else ""
    sentences = [
        f"{percent(top1.value)} % top-1 (95 % interval {percent(top1.low)} to {percent(top1.high)}){top5} on "
        f"{counted(top1.images, 'image')} of {counted(record.images.classes, 'class', 'classes')}."
    ]
    claim = record.network.published_top1
    if claim is not None:
        inside = top1.low <= claim <= top1.high
        sentences.append(
            f"Published are {percent(claim)} % top-1: {signed(100 * (top1.value - claim), 2)} points, "
            f"{'within' if inside else 'outside of'} the interval."
        )
    if record.real:
        sentences.append(
            f"{percent(record.real.value)} % by the ReaL labels, of {record.real.images:,} images that have some."
        )
    sentences.append(
        f"Expected calibration error {percent(found.ece)} % in {len(found.bins)} bins, and "
        f"{percent(found.ece_scaled)} % with a temperature fitted on the other half of the images; that of all is "
        f"{number(found.temperature, 3)}{_end(found.temperature)}."
    )
    if record.against:
        paired = record.against.paired
        verdict = "a difference" if paired.p_value < 0.05 else "no difference that these images show"
        sentences.append(
            f"Against {record.against.name} on the same images: {signed(100 * paired.difference, 2)} ± "
            f"{number(100 * paired.half_width, 2)} points of top-1, {paired.first_only:,} images won and "
            f"{paired.second_only:,} lost, p {p_value(paired.p_value)} (McNemar): {verdict}."
        )
        sentences += corruption_errors_against(record, record.against)
    return [*sentences, *record.notes]


def facts(record: EvaluationRecord) -> dict[str, list[tuple[str, str]]]:
    """Return heading -> (term, value) for network, images, preparation and machine."""
    network, images, prepared, machine = record.network, record.images, record.preprocess, record.environment
    way = f"{prepared.interpolation}, {'averaging (Pillow)' if prepared.antialias else 'four pixels (OpenCV)'}"
    return {
        "Network": [
            ("Name", network.name),
            ("Architecture", network.architecture),
            ("Published as", network.published or "not published"),
            ("Weights, SHA-256", network.weights_sha256),
            ("Precision", record.precision),
            ("Device", record.device),
        ],
        "Images": [
            ("Name", images.name),
            ("Which", images.part),
            ("Labels", f"{images.labels}: {images.what}"),
            ("Images", number(images.count, 0)),
            ("Classes with images", number(images.classes, 0)),
            ("Classes that compete", number(images.competing, 0)),
            ("Contents, SHA-256", images.sha256),
            ("Predictions, SHA-256", record.predictions_sha256),
        ],
        "Preparation": [
            ("Short side", f"{prepared.resize_short} pixels"),
            ("Crop", f"{prepared.size} pixels"),
            ("Resize", way),
            ("Mean", ", ".join(map(str, prepared.mean))),
            ("Standard deviation", ", ".join(map(str, prepared.std))),
        ],
        "Machine": [
            ("Date", machine.date.replace("T", " ").replace("+00:00", " UTC")),
            ("Processor", machine.cpu),
            ("GPU", machine.gpu or "none"),
            ("Pass over the data", f"{number(record.seconds, 1)} s"),
            *((name, version) for name, version in sorted(machine.packages.items())),
        ],
    }


def _end(temperature: float) -> str:
    """Say that the search for a temperature ended where it may go no further."""
    ends = (MIN_TEMPERATURE, MAX_TEMPERATURE)
    return (
        ", the end of the search: none is best" if any(isclose(temperature, end, rel_tol=0.01) for end in ends) else ""
    )


def _others(record: EvaluationRecord) -> dict[str, Table | None]:
    return {
        "Other sizes": variation_table(record, "size", "The same images at other sizes"),
        "Other preparations": variation_table(record, "sensitivity", "The same images, resized and cropped otherwise"),
        "Corruptions": corruption_table(record),
    }


def _every_answer(predictions: Predictions) -> Table:
    """Return the confusion matrix without its zeros, one line for each pair of classes, for CSV."""
    counts = confusion_matrix(*predictions.answers)
    names = [printable(predictions.classes[number]) for number in predictions.competing.tolist()]
    return Table(
        name="confusion_matrix",
        caption="Images by class and answer",
        columns=(),
        rows=(),
        data=tuple(
            {"class": names[label], "answer": names[answer], "images": int(counts[label, answer])}
            for label, answer in counts.nonzero().tolist()
        ),
    )


def _matrix(predictions: Predictions) -> tuple[list[str], list[list[MatrixCell]]] | None:
    """Return the names and the rows of the confusion matrix; None if there are too many classes to show."""
    if len(predictions.competing) > _MATRIX_CLASSES:
        return None
    counts = confusion_matrix(*predictions.answers).tolist()
    names = [printable(predictions.classes[number]) for number in predictions.competing.tolist()]
    return names, [[MatrixCell(images=count, part=count / max(1, sum(row))) for count in row] for row in counts]
