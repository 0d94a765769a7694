"""Records to a file, one at a time: JSON lines, CSV or Parquet by its suffix."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

from resnexus.errors import ResnexusError, printable, unknown
from resnexus.files import replacing
from resnexus.packages import required
from resnexus.prediction.inputs import check_local
from resnexus.prediction.record import Prediction
from resnexus.prediction.settings import PredictionSettings
from resnexus.report.table import csv_cell

STANDARD_OUTPUT = "-"
SUFFIXES = (".jsonl", ".csv", ".parquet")
WRITTEN_HERE = "what is predicted is written to this machine; give a path here, and copy it there afterwards"
_ROWS = 4096
"""Records of a row group of Parquet, which are held until it is written."""


class Writer(Protocol):
    """Takes records."""

    def __call__(self, prediction: Prediction, /) -> None:
        """Write one."""
        ...


def check_out(out: str, settings: PredictionSettings) -> None:
    """See that a kind of file is known, can hold what is asked, and that what writes it is installed.

    Raises:
        ResnexusError: an address, another suffix, embeddings for CSV, or pyarrow is missing.
    """
    if out == STANDARD_OUTPUT:
        return
    check_local(out, WRITTEN_HERE)
    suffix = Path(out).suffix
    if suffix not in SUFFIXES:
        raise unknown("kind of file", printable(Path(out).name), [f"*{known}" for known in SUFFIXES])
    if suffix == ".csv" and settings.embeddings:
        raise ResnexusError(f"{printable(out)}: embeddings have no place in CSV; write .jsonl or .parquet")
    if suffix == ".parquet":
        required("pyarrow")


@contextmanager
def writing(out: str, settings: PredictionSettings) -> Iterator[Writer]:
    """Give what writes records to a file, which is there when the block has succeeded, whole.

    Args:
        out: the file, or `-` for JSON lines on standard output as they come.
        settings: how the network is asked: CSV has columns for `topk` classes.

    Raises:
        ResnexusError: as for `check_out`, or the file cannot be written.
    """
    check_out(out, settings)
    if out == STANDARD_OUTPUT:
        yield lambda prediction: print(json_line(prediction), end="", flush=True)
        return
    path = Path(out)
    with replacing(path) as temporary, _KINDS[path.suffix](temporary, settings) as write:
        yield write


def json_line(prediction: Prediction) -> str:
    """Return a record as one line of JSON; a file name that is not UTF-8 keeps its bytes as escapes."""
    text = json.dumps(prediction.to_dict(), ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace").decode() + "\n"


@contextmanager
def _json_lines(path: Path, _: PredictionSettings) -> Iterator[Writer]:
    with path.open("w", encoding="utf-8", newline="\n") as file:

        def write(prediction: Prediction, /) -> None:
            file.write(json_line(prediction))

        yield write


@contextmanager
def _csv(path: Path, settings: PredictionSettings) -> Iterator[Writer]:
    with path.open("w", encoding="utf-8", newline="") as file:
        yield _csv_writer(file, settings.topk)


def _csv_writer(file: IO[str], topk: int) -> Writer:
    """Write a table for spreadsheets: three columns for each class that may be named, empty where there is none."""
    writer = csv.writer(file, lineterminator="\n")
    numbered = [f"{name}_{rank}" for rank in range(1, topk + 1) for name in ("class_id", "score", "label_name")]
    writer.writerow(["id", "filename", "error", *numbered])

    def write(prediction: Prediction, /) -> None:
        labels = prediction.label_names or (None,) * len(prediction.class_ids)
        ranks = zip(prediction.class_ids, prediction.scores, labels, strict=True)
        cells: list[Any] = [value for rank in ranks for value in rank]
        cells += [None] * (3 * topk - len(cells))
        error = None if prediction.error is None else prediction.error.value
        writer.writerow(map(csv_cell, (prediction.id, prediction.filename, error, *cells)))

    return write


@contextmanager
def _parquet(path: Path, settings: PredictionSettings) -> Iterator[Writer]:
    pyarrow, schema = required("pyarrow"), parquet_schema(embeddings=settings.embeddings)
    parquet = required("pyarrow.parquet")
    rows: list[dict[str, Any]] = []
    with parquet.ParquetWriter(path, schema, compression="zstd") as file:

        def flush() -> None:
            file.write_table(pyarrow.Table.from_pylist(rows, schema=schema))
            rows.clear()

        def write(prediction: Prediction, /) -> None:
            row = prediction.to_dict()
            # Arrow's text is UTF-8, and file names need not be.
            rows.append(row | {"filename": printable(row["filename"])})
            if len(rows) == _ROWS:
                flush()

        yield write
        flush()


def parquet_schema(*, embeddings: bool) -> Any:
    """Return the columns of a Parquet file of records, as pyarrow's schema.

    Raises:
        MissingPackageError: pyarrow is not installed.
    """
    pa = required("pyarrow")
    columns = [
        pa.field("id", pa.int64(), nullable=False),
        pa.field("filename", pa.string(), nullable=False),
        pa.field("class_ids", pa.list_(pa.int32()), nullable=False),
        pa.field("scores", pa.list_(pa.float32()), nullable=False),
        pa.field("label_names", pa.list_(pa.string()), nullable=False),
        pa.field("error", pa.string()),
    ]
    return pa.schema([*columns, pa.field("embedding", pa.list_(pa.float32()))] if embeddings else columns)


_KINDS: dict[str, Any] = {".jsonl": _json_lines, ".csv": _csv, ".parquet": _parquet}
