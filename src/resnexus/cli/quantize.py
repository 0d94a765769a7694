"""`resnexus quantize`: a network in int8, whose loss of accuracy is measured and bounded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from resnexus.cli.options import (
    COMMA,
    DATA,
    ArchitectureName,
    Json,
    Labels,
    Model,
    Weights,
    Workers,
    command_line,
    numbers,
)


def quantize(
    model: Model,
    data: Annotated[str, typer.Option(help=f"{DATA} Its classes are the network's.")],
    out: Annotated[Path, typer.Option(help="The file: *.xml, *.onnx or *.pt2.")],
    format: Annotated[str, typer.Option(metavar="openvino|onnx|pt2", help="What runs it.")] = "openvino",
    max_drop: Annotated[float, typer.Option(help="Points of top-1 that int8 may cost on the validation images.")] = 0.5,
    calibration_images: Annotated[int, typer.Option(help="At most so many images to train on give the ranges.")] = 300,
    validation_images: Annotated[
        int | None, typer.Option(help="At most so many images to evaluate on give the accuracy; all if left out.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed by which the images of both kinds are drawn.")] = 0,
    labels: Labels = None,
    weights: Weights = None,
    architecture: ArchitectureName = None,
    batch_sizes: Annotated[str, typer.Option(help=f"Batch sizes to time, {COMMA}; none for none.")] = "1",
    rounds: Annotated[int, typer.Option(help="Rounds in which what is timed takes turns.")] = 10,
    batch_size: Annotated[int, typer.Option(help="Images per forward pass when accuracy is measured.")] = 32,
    workers: Workers = 0,
    json_output: Json = False,
) -> None:
    """Write a network in int8 that loses no more accuracy on your images than is allowed.

    Ranges come from images for training, accuracy is measured on images for evaluation. If int8 loses more than
    --max-drop, the most sensitive layers are put back to float32 until it does not; if nothing helps, nothing is
    written. Beside OUT come the record, NAME.int8.json, and its page, NAME.int8.html.
    """
    from resnexus.errors import printable
    from resnexus.progress import Shown, Silent
    from resnexus.quantisation.quantize import quantize as job
    from resnexus.quantisation.settings import QuantisationSettings
    from resnexus.records import to_json
    from resnexus.report.printing import listed
    from resnexus.report.quantisation_page import as_text, findings, form_table

    settings = QuantisationSettings(
        max_drop=max_drop,
        calibration_images=calibration_images,
        validation_images=validation_images,
        seed=seed,
        labels=labels,
        batch_size=batch_size,
        workers=workers,
        latency_batches=() if batch_sizes == "none" else tuple(numbers(batch_sizes, "--batch-sizes")),
        rounds=rounds,
    )
    record = job(
        model,
        data,
        out,
        format=format,
        settings=settings,
        weights=weights,
        architecture=architecture,
        command=command_line(),
        progress=Silent() if json_output else Shown(),
    )
    if json_output:
        print(to_json(record))
        return
    print("\n".join([*findings(record), "", as_text(form_table(record)), ""]))
    beside = (out, out.with_suffix(".int8.json"), out.with_suffix(".int8.html"))
    print(f"wrote {listed(map(printable, beside))}")
