"""The page of a quantisation, its tables and what it found in sentences."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from resnexus.benchmark.cell import Cell
from resnexus.benchmark.ratios import ratio_of
from resnexus.errors import ResnexusError, printable
from resnexus.evaluation.intervals import Share
from resnexus.files import write_text
from resnexus.records import write_json
from resnexus.report.conditions import machine_facts, where_and_when
from resnexus.report.document import is_report
from resnexus.report.evaluation_tables import p_value
from resnexus.report.latencies import latency_entry
from resnexus.report.printing import counted, decimals_for, number, percent, signed
from resnexus.report.quantisation_record import QuantisationRecord
from resnexus.report.table import Column, Entry, Footnotes, Table, missing
from resnexus.report.templates import shipped, template

GENERATOR = "resnexus quantize"

_NAMES = {"fp32": "float32", "bf16": "bfloat16", "int8": "int8"}
_MEGABYTE = 1e6


def write_quantisation(record: QuantisationRecord, out: Path) -> Path:
    """Write the page and then the record beside an artefact, `NAME.int8.html` and `NAME.int8.json`; return the page.

    Args:
        record: what was found.
        out: the artefact.

    Raises:
        ResnexusError: as for `page_of`, a file cannot be written, or jinja2 is not installed.
    """
    page = page_of(out)
    write_text(render(record), page)
    write_json(record, out.with_suffix(".int8.json"))
    return page


def page_of(out: Path) -> Path:
    """Return where the page of an artefact goes, if it may.

    Raises:
        ResnexusError: somebody else's page is there.
    """
    page = out.with_suffix(".int8.html")
    if page.exists() and not is_report(page, GENERATOR):
        raise ResnexusError(f"{printable(page)} is no page of a quantisation and is not overwritten: move it away")
    return page


def render(record: QuantisationRecord) -> str:
    """Return the page as HTML; the same record gives the same bytes."""
    return str(
        template("quantisation.html").render(
            record=record,
            generator=GENERATOR,
            css=shipped("page.css"),
            title=f"{record.architecture} in int8",
            findings=findings(record),
            when=where_and_when(record.environment),
            forms=form_table(record),
            left=left_table(record),
            steps=step_table(record),
            facts=facts(record),
        )
    )


def findings(record: QuantisationRecord) -> list[str]:
    """Return what was found, in sentences."""
    paired, same = record.paired, record.agreement
    images = paired.images
    sentences = [
        f"{percent(record.top1_int8.value)} % top-1 in int8 and {percent(record.top1_fp32.value)} % in float32 on "
        f"{counted(images, 'validation image')}: {signed(100 * paired.difference, 2)} ± "
        f"{number(100 * paired.half_width, 2)} points, {paired.first_only:,} won and {paired.second_only:,} lost, p "
        f"{p_value(paired.p_value)} (McNemar). {number(record.max_drop, 2)} points of loss were allowed, and one image "
        f"is {number(100 / images, 2)}.",
        f"The same first class for {percent(same.top1, 1)} % of the images; a logit differs by at most "
        f"{100 * same.max_rel:.2g} % of the largest, and the smallest cosine is {same.cosine:.4f}.",
        f"{len(record.layers)} of {len(record.layers) + len(record.left)} layers compute in int8{_reasons(record)}.",
        f"{number(record.bytes_int8 / _MEGABYTE, 2)} MB against {number(record.bytes_fp32 / _MEGABYTE, 2)} MB in "
        f"float32.",
    ]
    for size in dict.fromkeys(cell.batch_size for cell in record.latency):
        sentences.append(_speed(_at(record, size)))
    return [*sentences, *record.not_timed]


def form_table(record: QuantisationRecord) -> Table:
    """Accuracy, size and latency in each precision."""
    sizes = tuple(dict.fromkeys(cell.batch_size for cell in record.latency))
    notes = Footnotes()
    timed = {size: _at(record, size) for size in sizes}
    decimals = {size: decimals_for(cell.median_ms for cell in timed[size].values()) for size in sizes}
    shares = {"fp32": record.top1_fp32, "int8": record.top1_int8}
    bytes_of = {"fp32": record.bytes_fp32, "int8": record.bytes_int8}
    rows = []
    for precision in (name for name in _NAMES if name in shares or any(name in timed[size] for size in sizes)):
        latencies = (latency_entry(timed[size].get(precision), decimals[size], notes) for size in sizes)
        rows.append(
            (
                Entry(text=_NAMES[precision]),
                *_accuracy(shares.get(precision)),
                Entry(text=number(bytes_of[precision] / _MEGABYTE, 2)) if precision in bytes_of else missing(),
                *latencies,
            )
        )
    return Table(
        name="forms",
        caption=f"{record.architecture} in float32 and in int8",
        columns=(
            Column(title="Computes in", text=True),
            Column(title="Top-1", unit="%"),
            Column(title="95 % interval", unit="%"),
            Column(title="Size", unit="MB"),
            *(Column(title=f"Batch {size}", unit="ms") for size in sizes),
        ),
        rows=tuple(rows),
        notes=notes.texts,
    )


def left_table(record: QuantisationRecord) -> Table | None:
    """Say which layers stayed in float32, and why; None if none did."""
    if not record.left:
        return None
    return Table(
        name="left",
        caption="Layers that compute in float32",
        columns=(
            Column(title="Layer", text=True),
            Column(title="Why", text=True),
            Column(title="Sensitivity"),
        ),
        rows=tuple(
            (
                Entry(text=layer.name),
                Entry(text=layer.why),
                missing() if layer.sensitivity is None else Entry(text=f"{layer.sensitivity:.1e}"),
            )
            for layer in record.left
        ),
        remarks=(
            "The sensitivity of a layer is the mean square of the change of the logits when it alone is in int8, over "
            "their own mean square; it is measured if more was lost than is allowed.",
        ),
    )


def step_table(record: QuantisationRecord) -> Table | None:
    """List the attempts of the accuracy control; None if the first was good enough."""
    if len(record.steps) == 1:
        return None
    return Table(
        name="steps",
        caption="Attempts, in their order",
        columns=(
            Column(title="Put back to float32"),
            Column(title="In int8"),
            Column(title="Top-1", unit="%"),
            Column(title="Lost", unit="points"),
        ),
        rows=tuple(
            (
                Entry(text=number(step.put_back, 0)),
                Entry(text=number(step.int8, 0)),
                Entry(text=percent(step.top1)),
                Entry(text=signed(step.drop, 2)),
            )
            for step in record.steps
        ),
    )


def facts(record: QuantisationRecord) -> dict[str, list[tuple[str, str]]]:
    """Return heading -> (term, value) for network, images and machine."""
    return {
        "Network": [
            ("Architecture", record.architecture),
            ("Weights", record.weights),
            ("Weights, SHA-256", record.weights_sha256 or "none"),
            ("Artefact", f"{record.artefact}, {record.format}"),
        ],
        "Images": [
            ("Name", record.data),
            ("Validation", record.part),
            ("Validation images", number(record.paired.images, 0)),
            ("Contents, SHA-256", record.images_sha256),
            ("Calibration images, none of those", number(record.calibration_images, 0)),
            ("Seed of the draw", str(record.seed)),
        ],
        **machine_facts(record.environment),
    }


def _accuracy(found: Share | None) -> tuple[Entry, Entry]:
    if found is None:
        return missing(), missing()
    return Entry(text=percent(found.value)), Entry(text=f"{percent(found.low)} to {percent(found.high)}")


def _at(record: QuantisationRecord, size: int) -> dict[str, Cell]:
    return {cell.precision: cell for cell in record.latency if cell.batch_size == size}


def _speed(cells: dict[str, Cell]) -> str:
    """Say how long int8 takes against the others, which took turns with it."""
    int8 = cells["int8"]
    parts = []
    for precision, cell in cells.items():
        if precision != "int8":
            found = ratio_of(int8, cell)
            parts.append(
                f"{number(found.median, 2)} of the time of {_NAMES[precision]} ({number(found.low, 2)} to "
                f"{number(found.high, 2)})"
            )
    return f"Batch {int8.batch_size}: {number(int8.median_ms, decimals_for([int8.median_ms]))} ms, {', '.join(parts)}."


def _reasons(record: QuantisationRecord) -> str:
    """Say how many layers do not, by reason."""
    counts: Counter[str] = Counter(layer.why for layer in record.left)
    said = "; ".join(f"{count} not: {why}" for why, count in counts.items())
    return f" ({said})" if said else ""


def as_text(table: Table) -> str:
    """Return a table as lines of one width for each column, for a terminal."""
    titles = [f"{column.title}, {column.unit}" if column.unit else column.title for column in table.columns]
    rows: list[list[Any]] = [titles, *([_cell(entry) for entry in row] for row in table.rows)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(titles))]
    aligned = [str.ljust if column.text else str.rjust for column in table.columns]
    return "\n".join(
        "  ".join(align(cell, width) for align, cell, width in zip(aligned, row, widths, strict=True)).rstrip()
        for row in rows
    )


def _cell(entry: Entry) -> str:
    return f"{entry.text} ({entry.detail})" if entry.detail else entry.text
