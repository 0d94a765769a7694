"""The folder of an evaluation: whether it may be written, by one process at a time, and how it is read again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resnexus.claim import claimed
from resnexus.errors import ResnexusError, printable
from resnexus.evaluation.predictions import Predictions, read_predictions, write_predictions
from resnexus.files import check_writable
from resnexus.packages import required
from resnexus.records import RecordError, read_json, write_json
from resnexus.report.document import is_report
from resnexus.report.evaluation_page import GENERATOR, write_page
from resnexus.report.evaluation_record import EvaluationRecord

RECORD, PAGE, PREDICTIONS = "evaluation.json", "index.html", "predictions.npz"


def check_folder(out: Path) -> None:
    """Make a folder for an evaluation, and see that it can be written and holds nothing else; before any work.

    Raises:
        ResnexusError: it holds a page or predictions that are no evaluation's, a record that cannot be read, or cannot
            be written; or what writes the page is not installed.
    """
    required("jinja2")
    record, page = out / RECORD, out / PAGE
    if record.exists():
        _ours(record)
        if page.exists() and not is_report(page, GENERATOR):
            raise ResnexusError(
                f"{printable(page)} is no page of an evaluation and is not overwritten: choose another folder, or move "
                "it away"
            )
    else:
        others = [name for name in (PAGE, PREDICTIONS) if (out / name).exists()]
        if others:
            raise ResnexusError(
                f"{printable(out / others[0])} has no {RECORD} beside it, so it is not ours to replace: give another "
                "folder, or move it away"
            )
    check_writable(out)


@contextmanager
def held(out: Path) -> Iterator[None]:
    """Hold a folder for one evaluation, checked as `check_folder` does.

    Raises:
        ResnexusError: as `check_folder`, or another process evaluates in it.
    """
    check_folder(out)
    with claimed(out, busy="another process evaluates in"):
        check_folder(out)
        yield


def write_evaluation(record: EvaluationRecord, predictions: Predictions, thumbnails: dict[str, str], out: Path) -> None:
    """Write an evaluation, every file whole or not at all and the record last.

    Raises:
        ResnexusError: a file cannot be written.
    """
    write_predictions(predictions, out / PREDICTIONS)
    write_page(record, predictions, thumbnails, out)
    write_json(record, out / RECORD)


def read_evaluation(path: Path) -> tuple[EvaluationRecord, Predictions]:
    """Read the record and the logits of an evaluation.

    Args:
        path: its folder, or the record in it.

    Raises:
        ResnexusError: they cannot be read, or are not of one evaluation.
    """
    record_path = path if path.suffix == ".json" else path / RECORD
    record = _ours(record_path)
    return record, read_predictions(record_path.parent / PREDICTIONS, record.predictions_sha256)


def _ours(path: Path) -> EvaluationRecord:
    try:
        return read_json(EvaluationRecord, path)
    except RecordError as error:
        raise RecordError(f"no evaluation of ours: {error}") from error
