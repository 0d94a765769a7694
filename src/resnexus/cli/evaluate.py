"""`resnexus evaluate`: one network on labelled images, from all sides."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_COMMA = "separated by commas"


def evaluate(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL|FILE", help="NETWORK, NETWORK:TAG, a checkpoint's name, or a file of weights."),
    ],
    data: Annotated[
        str, typer.Option(help="A folder of class folders, or with train/CLASS/ and val/CLASS/; or digits.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the page, the record and the logits.")] = Path("evaluation"),
    images: Annotated[
        str | None,
        typer.Option(
            metavar="val|all",
            help="val: what `train` keeps to evaluate on; all: every image. If left out, all for test sets that are "
            "known and for published weights.",
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="What the class folders are called: names, wnid, index, imagenet-v2, imagenet-a, imagenet-r or "
            "imagenet-sketch; recognised if left out."
        ),
    ] = None,
    image_size: Annotated[int | None, typer.Option(help="Pixels on a side; the network's own if left out.")] = None,
    sizes: Annotated[str, typer.Option(help=f"Other sizes to evaluate at, {_COMMA}.")] = "",
    sensitivity: Annotated[
        bool, typer.Option("--sensitivity", help="Try OpenCV's and Pillow's resize, and other crops.")
    ] = False,
    corruptions: Annotated[
        str, typer.Option(help=f"Corruptions of ImageNet-C to try, {_COMMA}; all for the benchmark's.")
    ] = "",
    severities: Annotated[str, typer.Option(help=f"Of the corruptions, 1 to 5, {_COMMA}.")] = "1,2,3,4,5",
    seed: Annotated[int, typer.Option(help="Of the corruptions.")] = 0,
    real: Annotated[Path | None, typer.Option(help="The file real.json of ReaL labels, for ImageNet's val.")] = None,
    against: Annotated[
        Path | None, typer.Option(help="Folder of another evaluation of the same images, to compare with.")
    ] = None,
    architecture: Annotated[
        str | None, typer.Option(help="The network of a file of weights, where names and shapes cannot tell.")
    ] = None,
    precision: Annotated[str, typer.Option(help="fp32, bf16 or fp16.")] = "fp32",
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    batch_size: Annotated[int, typer.Option(help="Images per forward pass.")] = 64,
    workers: Annotated[int, typer.Option(help="Processes that read images.")] = 0,
    json_output: Annotated[bool, typer.Option("--json", help="Print the record as JSON.")] = False,
) -> None:
    """Evaluate a network on labelled images: accuracy with intervals, classes, confusions, calibration.

    One pass over the data, whose logits are kept in OUT/predictions.npz; other sizes, preparations and corruptions take
    a pass each. OUT gets index.html, evaluation.json and tables/ besides.
    """
    import shlex
    import sys

    from resnexus.assessment.assess import assess
    from resnexus.assessment.settings import AssessmentSettings
    from resnexus.cli.compare import names, numbers
    from resnexus.evaluation.corruptions.table import CORRUPTIONS
    from resnexus.progress import Shown, Silent
    from resnexus.records import to_json
    from resnexus.report.evaluation_page import findings

    benchmark = tuple(row.name for row in CORRUPTIONS.values() if not row.extra)
    settings = AssessmentSettings(
        labels=labels,
        part=images,
        image_size=image_size,
        sizes=tuple(numbers(sizes)),
        sensitivity=sensitivity,
        corruptions=benchmark if corruptions == "all" else tuple(names(corruptions)),
        severities=tuple(numbers(severities)),
        seed=seed,
        real=real,
        against=against,
        batch_size=batch_size,
        device=device,
        workers=workers,
        precision=precision,  # type: ignore[arg-type]  # checked by the settings
    )
    record = assess(
        model,
        data,
        out=out,
        settings=settings,
        architecture=architecture,
        command=shlex.join(["resnexus", *sys.argv[1:]]),
        progress=Silent() if json_output else Shown(),
    ).record
    if json_output:
        print(to_json(record))
        return
    print("\n".join(findings(record)))
    print(f"wrote {out / 'index.html'}, {out / 'evaluation.json'} and {out / 'predictions.npz'}")
