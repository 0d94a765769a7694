"""`resnexus evaluate`: one network on labelled images, from all sides."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnexus.cli.options import (
    COMMA,
    DATA,
    PRECISIONS,
    ArchitectureName,
    BatchSize,
    Device,
    ImageSize,
    Json,
    Labels,
    Model,
    Workers,
    command_line,
    names,
    numbers,
)

if TYPE_CHECKING:
    from resnexus.report.evaluation_record import EvaluationRecord

_IMAGES = (
    "val: what `train` keeps to evaluate on; all: every image. If left out, val, but all where no val/ is there for "
    "test sets that are known and for published weights."
)


def evaluate(
    model: Model,
    data: Annotated[str, typer.Option(help=DATA)],
    out: Annotated[Path, typer.Option(help="Folder of the page, the record and the logits.")] = Path("evaluation"),
    images: Annotated[str | None, typer.Option(metavar="val|all", help=_IMAGES)] = None,
    labels: Labels = None,
    image_size: ImageSize = None,
    sizes: Annotated[str, typer.Option(help=f"Other sizes to evaluate at, {COMMA}.")] = "",
    sensitivity: Annotated[
        bool, typer.Option("--sensitivity", help="Try OpenCV's and Pillow's resize, and other crops.")
    ] = False,
    corruptions: Annotated[
        str, typer.Option(help=f"Corruptions of ImageNet-C to try, {COMMA}; all for the benchmark's.")
    ] = "",
    severities: Annotated[str, typer.Option(help=f"Severities of the corruptions, 1 to 5, {COMMA}.")] = "1,2,3,4,5",
    seed: Annotated[int, typer.Option(help="Seed of the corruptions.")] = 0,
    real: Annotated[Path | None, typer.Option(help="The file real.json of ReaL labels, for ImageNet's val.")] = None,
    against: Annotated[
        Path | None, typer.Option(help="Folder of another evaluation of the same images, to compare with.")
    ] = None,
    architecture: ArchitectureName = None,
    precision: Annotated[str, typer.Option(metavar=PRECISIONS, help="What the network computes in.")] = "fp32",
    device: Device = "cpu",
    batch_size: BatchSize = 64,
    workers: Workers = 0,
    json_output: Json = False,
) -> None:
    """Evaluate a network on labelled images: accuracy with intervals, classes, confusions, calibration.

    One pass over the data, whose logits are kept in OUT/predictions.npz; other sizes, preparations and corruptions take
    a pass each. OUT gets index.html, evaluation.json and tables/ besides.
    """
    from resnexus.assessment.assess import assess
    from resnexus.assessment.settings import AssessmentSettings
    from resnexus.progress import Shown, Silent

    settings = AssessmentSettings(
        labels=labels,
        part=images,
        image_size=image_size,
        sizes=tuple(numbers(sizes, "--sizes")),
        sensitivity=sensitivity,
        corruptions=_corruptions(corruptions),
        severities=tuple(numbers(severities, "--severities")),
        seed=seed,
        real=real,
        against=against,
        batch_size=batch_size,
        device=device,
        workers=workers,
        precision=precision,  # type: ignore[arg-type]  # checked by the settings
    )
    progress = Silent() if json_output else Shown()
    found = assess(
        model, data, out=out, settings=settings, architecture=architecture, command=command_line(), progress=progress
    )
    _print(found.record, out, as_json=json_output)


def _corruptions(text: str) -> tuple[str, ...]:
    from resnexus.evaluation.corruptions.table import CORRUPTIONS

    if text == "all":
        return tuple(row.name for row in CORRUPTIONS.values() if not row.extra)
    return tuple(names(text))


def _print(record: EvaluationRecord, out: Path, *, as_json: bool) -> None:
    from resnexus.records import to_json
    from resnexus.report.evaluation_page import findings

    if as_json:
        print(to_json(record))
        return
    print("\n".join(findings(record)))
    print(f"wrote {out / 'index.html'}, {out / 'evaluation.json'} and {out / 'predictions.npz'}")
