"""Measure what `resnexus quantize` costs and gains on the trained digits siblings, in every format.

    resnexus compare --data digits --out FOLDER --series none
    python -m studies.quantisation FOLDER results/quantisation_cpu_DATE.json

One training of each of four siblings is quantised for OpenVINO, ONNX Runtime and PyTorch: accuracy on all validation
images in float32 and int8, layers, size, and latency of the float32, bfloat16 and int8 forms in turns. No network of
the series itself was measured: their accuracy takes ImageNet, which is not here, and their time was left out.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from resnexus.benchmark.cell import Cell
from resnexus.comparison.kept import weights_path
from resnexus.data.datasets import open_dataset
from resnexus.progress import Shown
from resnexus.quantisation.forms.registry import FORMATS
from resnexus.quantisation.quantize import quantize
from resnexus.quantisation.settings import QuantisationSettings
from resnexus.records import read_json, write_json
from resnexus.report.latencies import latency_entry
from resnexus.report.printing import decimals_for, number, percent, signed
from resnexus.report.quantisation_record import QuantisationRecord
from resnexus.report.speed import machine
from resnexus.report.table import Column, Entry, Footnotes, Table, missing, to_markdown
from studies.quantised_siblings import trained

NETWORKS = ("ResNet_small", "ResNeXt_small", "SE_ResNeXt_small", "Res2Net_small")

RESULTS = Path(__file__).parents[1] / "results"

_MEGABYTE = 1e6


@dataclass(frozen=True, kw_only=True)
class QuantisedSiblings:
    """What was found.

    Attributes:
        what: was done, in a sentence.
        not_measured: what this says nothing about, in a sentence.
        records: one for each network and format.
    """

    what: str
    not_measured: str
    records: tuple[QuantisationRecord, ...]


def measured(
    files: Sequence[Path], formats: Sequence[str], settings: QuantisationSettings
) -> Iterator[QuantisationRecord]:
    """Quantise files of weights in every format, and yield the records."""
    with tempfile.TemporaryDirectory() as folder:
        for file in files:
            for format in formats:
                suffix = {"openvino": "xml", "onnx": "onnx", "pt2": "pt2"}[format]
                out = Path(folder) / f"{file.stem}.{suffix}"
                yield quantize(file, "digits", out, format=format, settings=settings, progress=Shown())


def table(record: QuantisedSiblings) -> Table:
    """Return one row for each network and format."""
    notes = Footnotes()
    return Table(
        name="quantisation",
        caption=record.what,
        columns=(
            Column(title="Network", text=True),
            Column(title="Format", text=True),
            Column(title="float32", unit="%", group="Top-1"),
            Column(title="int8", unit="%", group="Top-1"),
            Column(title="difference", unit="points", group="Top-1"),
            Column(title="in int8 / all", group="Layers"),
            Column(title="put back", group="Layers"),
            Column(title="float32", unit="MB", group="Size"),
            Column(title="int8", unit="MB", group="Size"),
            *(Column(title=name, unit="ms", group="Batch 1") for name in ("float32", "bfloat16", "int8")),
        ),
        rows=tuple(_row(found, notes) for found in record.records),
        notes=notes.texts,
    )


def _row(found: QuantisationRecord, notes: Footnotes) -> tuple[Entry, ...]:
    cells = _first(found)
    decimals = decimals_for(cell.median_ms for cell in cells.values())
    return (
        Entry(text=found.architecture),
        Entry(text=found.format),
        Entry(text=percent(found.top1_fp32.value)),
        Entry(text=percent(found.top1_int8.value)),
        Entry(
            text=signed(100 * found.paired.difference, 2),
            detail=f"± {number(100 * found.paired.half_width, 2)}",
        ),
        Entry(text=f"{len(found.layers)} / {len(found.layers) + len(found.left)}"),
        Entry(text=number(len(found.put_back), 0)),
        Entry(text=number(found.bytes_fp32 / _MEGABYTE, 2)),
        Entry(text=number(found.bytes_int8 / _MEGABYTE, 2)),
        *(latency_entry(cells[name], decimals, notes) if name in cells else missing() for name in _PRECISIONS),
    )


def _first(found: QuantisationRecord) -> dict[str, Cell]:
    """Return the times of one picture, by precision."""
    return {cell.precision: cell for cell in found.latency if cell.batch_size == 1}


_PRECISIONS = ("fp32", "bf16", "int8")


def section() -> str:
    """Return the table of the newest record and how it was measured, as Markdown; that there is none, if so."""
    found = sorted(RESULTS.glob("quantisation_cpu_*.json"))
    if not found:
        return "Not measured.\n"
    record = read_json(QuantisedSiblings, found[-1])
    first = record.records[0]
    images = (
        f"{first.paired.images} validation images, so that one is {number(100 / first.paired.images, 2)} points; "
        f"{first.calibration_images} other images gave the ranges; {first.max_drop:g} points of loss were allowed."
    )
    pairs = [
        (cells["fp32"], cells["int8"]) for cells in map(_first, record.records) if {"fp32", "int8"} <= cells.keys()
    ]
    slower = sum(int8.median_ms > fp32.median_ms for fp32, int8 in pairs)
    time = f"One picture takes longer in int8 than in float32 in {slower} of the {len(pairs)} rows."
    return f"{to_markdown(table(record))}\n{time} {images} {record.not_measured} {machine(first.environment)}\n"


def main() -> None:
    """Write the record, as it grows."""
    parser = argparse.ArgumentParser(description="Measure what int8 costs and gains on the trained digits siblings.")
    parser.add_argument("folder", type=Path, help="what `resnexus compare --data digits` wrote")
    parser.add_argument("output", type=Path, help="JSON record to write")
    parser.add_argument("--formats", nargs="+", default=list(FORMATS), choices=FORMATS, help="all if left out")
    parser.add_argument("--rounds", type=int, default=30, help="of timing (default 30)")
    options = parser.parse_args()
    files = [
        weights_path(job, options.folder)
        for job, _ in trained(options.folder, open_dataset("digits"), names=NETWORKS, seeds=1)
    ]
    record = QuantisedSiblings(
        what="The small siblings of resnexus compare were trained once each on the digits and put into int8.",
        not_measured=(
            "No network of the series itself was measured: their accuracy takes ImageNet, and their time was left out."
        ),
        records=(),
    )
    for found in measured(files, options.formats, QuantisationSettings(rounds=options.rounds)):
        record = replace(record, records=(*record.records, found))
        write_json(record, options.output)
    print(to_markdown(table(record)))


if __name__ == "__main__":
    main()
