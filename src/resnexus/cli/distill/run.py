"""`resnexus distill run`: all steps, and the page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from resnexus.cli.options import TEACHER, Device, Json, refuse_others


def run(
    context: typer.Context,
    config: Annotated[str, typer.Argument(metavar="CONFIG", help="ssld-small, ssld-published, or a YAML file.")],
    out: Annotated[Path, typer.Option(help="Folder of the run; started again, it goes on.")] = Path("distillation"),
    labelled: Annotated[
        str | None, typer.Option(help="Labelled pictures, as `train --data` takes them; embedded digits if left out.")
    ] = None,
    pool: Annotated[list[str] | None, typer.Option(help="Pictures without labels; as often as needed.")] = None,
    teacher: Annotated[
        str | None,
        typer.Option(metavar=TEACHER, help="A published network, or a file of weights; the config's if left out."),
    ] = None,
    student: Annotated[
        str | None, typer.Option(metavar="NETWORK", help="A network of `resnexus list`; the config's if left out.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(help="Trainings of student and baseline; the config's if left out.")
    ] = None,
    device: Device = "auto",
    print_config: Annotated[bool, typer.Option("--print-config", help="Print the config and stop.")] = False,
    json_output: Json = False,
) -> None:
    """Teacher, scores, near-duplicates, mining, baseline, student, second stage and sizes; then the page.

    A step that is finished is not done again. OUT gets index.html, run.json, tables/ and a folder for each step.
    """
    from resnexus.distillation.configs import config_text, find_config
    from resnexus.distillation.run import run_all
    from resnexus.progress import Shown, Silent
    from resnexus.records import to_json
    from resnexus.report.distillation_page import findings

    if print_config:
        refuse_others(context, {"config", "print_config"}, "--print-config")
        print(config_text(config), end="")
        return
    wanted = find_config(config).changed(
        labelled=labelled, pool=tuple(pool or ()), teacher=teacher, student=student, seeds=seeds
    )
    done = run_all(wanted, out=out, device=device, progress=Silent() if json_output else Shown())
    if json_output:
        print(to_json(done))
        return
    print("\n".join(findings(done)))
    print(f"wrote {out / 'index.html'}")
