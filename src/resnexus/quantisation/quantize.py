"""Write a network in int8, with what that costs in accuracy and gains in time and size."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

from resnexus.architectures.network import Network
from resnexus.artefacts.artefact import Artefact
from resnexus.artefacts.export import export
from resnexus.artefacts.formats.contract import Format
from resnexus.artefacts.formats.registry import find_format
from resnexus.artefacts.record import ArtefactRecord
from resnexus.assessment.counting import share_of
from resnexus.benchmark.cell import Cell
from resnexus.benchmark.environment import environment
from resnexus.errors import ResnexusError, printable
from resnexus.packages import required
from resnexus.parity.agreement import agreement
from resnexus.progress import Progress, Silent
from resnexus.quantisation.format import Int8Format, Int8Outcome
from resnexus.quantisation.forms.contract import Form
from resnexus.quantisation.forms.registry import find_form
from resnexus.quantisation.latency import runs, timed
from resnexus.quantisation.settings import QuantisationSettings
from resnexus.report.quantisation_page import page_of, write_quantisation
from resnexus.report.quantisation_record import LeftLayer, QuantisationRecord

GATE = "a gate: its few multiply-adds decide over whole channels"
PUT_BACK = "put back to float32: among the most sensitive"
LIBRARY = "the library left it in float32"


def quantize(
    model: str | os.PathLike[str] | Network,
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    format: str = "openvino",
    settings: QuantisationSettings | None = None,
    weights: str | os.PathLike[str] | None = None,
    architecture: str | None = None,
    command: str = "",
    progress: Progress | None = None,
) -> QuantisationRecord:
    """Write a network as an artefact in int8 that loses no more accuracy than is allowed.

    Ranges come from images for training, and accuracy is measured on images for evaluation, with the file as it will
    be used. If int8 loses more than `settings.max_drop` points of top-1, the most sensitive layers are put back to
    float32 until it does not.

    Args:
        model: as `export` takes it: a network of ours, a published one by its name, or a file of weights.
        data: a folder or a name, as `open_dataset` takes it, of the network's classes.
        out: the file, with the suffix of its format. Beside it come the record, `NAME.int8.json`, and its page,
            `NAME.int8.html`.
        format: `"openvino"`, `"onnx"` or `"pt2"`.
        settings: what is asked; half a point of top-1 if None.
        weights: for a network by its bare name: a tag, a file, or `"random"`.
        architecture: the network of a file, where names and shapes cannot tell.
        command: as it was typed, for the record.
        progress: told of the steps; nobody if None.

    Returns:
        The record.

    Raises:
        ResnexusError: a value that is not accepted, a library that is not installed, weights or images that cannot be
            used, more accuracy lost than is allowed whatever is put back, no layer in int8, or a place that cannot be
            written. No artefact is written then; what ends the measuring of latency after it leaves the artefact, which
            was compared, without the page and record of its quantisation.
    """
    settings, progress, out = settings or QuantisationSettings(), progress or Silent(), Path(out)
    inner, form = _format(format)
    required("jinja2")  # of the page: now, and not after the work
    page_of(out)
    entry = Int8Format(inner, form, data, settings, progress)
    record = export(model, out, format=entry, weights=weights, architecture=architecture, progress=progress)
    if entry.outcome is None:
        raise TypeError("expected a format that was built")
    found = _recorded(record, entry.outcome, inner, form, out, settings, progress)
    found = replace(found, command=printable(command))
    write_quantisation(found, out)
    return found


def _format(name: str) -> tuple[Format, Form]:
    form = find_form(name)
    return find_format(name), form


def _recorded(
    record: ArtefactRecord,
    outcome: Int8Outcome,
    inner: Format,
    form: Form,
    out: Path,
    settings: QuantisationSettings,
    progress: Progress,
) -> QuantisationRecord:
    chosen, trials, questions = outcome.chosen, outcome.trials, outcome.images.questions
    latency, not_timed, bytes_fp32 = _timed(record, outcome, inner, form, out, settings, progress)
    return QuantisationRecord(
        architecture=record.row.name,
        weights=printable(record.weights),
        weights_sha256=record.weights_sha256,
        format=record.format,
        artefact=printable(out.name),
        data=questions.name,
        part=_part(questions.part, len(questions.originals), len(chosen.predictions.files)),
        images_sha256=chosen.predictions.images_sha256,
        calibration_images=len(outcome.images.calibration),
        seed=settings.seed,
        max_drop=settings.max_drop,
        top1_fp32=share_of(trials.predictions, 1),
        top1_int8=share_of(chosen.predictions, 1),
        paired=chosen.paired,
        agreement=agreement(trials.predictions.logits, chosen.predictions.logits),
        layers=chosen.int8,
        put_back=chosen.put_back,
        left=tuple(_left(outcome)),
        steps=tuple(trials.steps),
        bytes_fp32=bytes_fp32,
        bytes_int8=_size(inner, out),
        latency=latency,
        not_timed=not_timed,
        command="",
        environment=environment(),
        notes=record.notes,
    )


def _part(part: str, there: int, used: int) -> str:
    return part if used == there else f"{part}; {used:,} of {there:,} images"


def _left(outcome: Int8Outcome) -> list[LeftLayer]:
    found = []
    for layer in outcome.trials.layers:
        if layer.name not in outcome.chosen.int8:
            why = GATE if layer.gate else PUT_BACK if layer.name in outcome.chosen.put_back else LIBRARY
            found.append(LeftLayer(name=layer.name, why=why, sensitivity=outcome.sensitivity.get(layer.name)))
    return found


def _timed(
    record: ArtefactRecord,
    outcome: Int8Outcome,
    inner: Format,
    form: Form,
    out: Path,
    settings: QuantisationSettings,
    progress: Progress,
) -> tuple[tuple[Cell, ...], tuple[str, ...], int]:
    """Return latencies, what was not timed, and the bytes of the artefact in float32."""
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / f"fp32{inner.suffix}"
        inner.write(outcome.trials.plain, outcome.trials.record, plain)
        count = _size(inner, plain)
        if not settings.latency_batches:
            return (), ("Nothing was timed: no batch size was asked for.",), count
        fp32, int8 = (Artefact(printable(path), inner.open(path)) for path in (plain, out))
        found, missing = runs(fp32, partial(form.half, plain, outcome.deployed.network), int8)
        cells = timed(found, outcome.images.calibration, record.row.name, form.engine, settings, progress)
        return cells, missing, count


def _size(entry: Format, path: Path) -> int:
    try:
        return sum(file.stat().st_size for file in entry.files(path))
    except OSError as error:
        raise ResnexusError(f"cannot read {printable(path)}: {error.strerror or error}") from error
