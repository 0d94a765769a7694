"""`resnexus distill dedupe`: near-duplicates of your own pictures in a pool."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from resnexus.cli.options import Device, Json, PrivateAddresses, UsableWorkers

_AGAINST = "Your validation and training pictures: a folder, a pattern, a file; as often as needed."
Against = Annotated[list[str], typer.Option(metavar="PATH", help=_AGAINST)]
Teacher = Annotated[
    str | None, typer.Option(metavar="FILE", help="Where the teacher of the cache is now, if it was moved.")
]


def dedupe(
    cache: Annotated[Path, typer.Argument(metavar="CACHE", help="What `resnexus distill score` wrote.")],
    against: Against,
    out: Annotated[Path, typer.Option(help="The list, JSON lines; the page lies beside it as .html.")] = Path(
        "duplicates.jsonl"
    ),
    distance: Annotated[
        int | None, typer.Option(help="Most bits in which hashes differ; 14 of 64 if left out.")
    ] = None,
    cosine: Annotated[
        float | None, typer.Option(help="Least cosine of the teacher's features; 0.3 if left out.")
    ] = None,
    correlation: Annotated[
        float | None, typer.Option(help="Least correlation of the pixels; 0.98 if left out.")
    ] = None,
    detail: Annotated[float | None, typer.Option(help="Least correlation of the detail; 0.8 if left out.")] = None,
    teacher: Teacher = None,
    device: Device = "cpu",
    workers: UsableWorkers = None,
    private_addresses: PrivateAddresses = False,
    json_output: Json = False,
) -> None:
    """Find the pictures of a pool that are copies of your own, saved anew, cut, mirrored, brighter or resized.

    Candidates have near perceptual hashes; the teacher's features and the pixels themselves confirm them. Nothing is
    deleted: OUT says what `resnexus distill mine --duplicates` leaves out, and the page beside it shows every pair.
    """
    from resnexus.distillation.cache import open_cache
    from resnexus.distillation.dedupe import dedupe as job
    from resnexus.distillation.duplicates import Thresholds
    from resnexus.distillation.pairs_page import page_path
    from resnexus.machine import usable_cores
    from resnexus.prediction.settings import PredictionSettings
    from resnexus.progress import Shown, Silent
    from resnexus.records import to_json
    from resnexus.report.printing import counted

    given = {"distance": distance, "cosine": cosine, "correlation": correlation, "detail": detail}
    thresholds = Thresholds(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    asking = PredictionSettings(
        device=device,
        workers=usable_cores() if workers is None else workers,
        private_addresses=private_addresses,
    )
    progress = Silent() if json_output else Shown()
    done = job(open_cache(cache), against, out, thresholds, teacher=teacher, asking=asking, progress=progress)
    if json_output:
        print(to_json(done))
        return
    print(
        f"{done.removed:,} of {counted(done.pictures, 'picture')} of the pool are copies of one of {done.others:,}; "
        f"{done.candidates - done.removed:,} looked alike and are kept; wrote {out}, {page_path(out)}"
    )
