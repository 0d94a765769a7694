"""`resnexus bench`: latency in every engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnexus.cli.options import COMMA, Features, Json, OutputStride, Threads, console, names, numbers, refuse_others

if TYPE_CHECKING:
    from resnexus.benchmark.bench import Bench, BenchSettings
    from resnexus.benchmark.cases import Case

_CASES = "mlperf-detector, detectors-640, detectors-800"

_Models = Annotated[
    str | None,
    typer.Option(help=f"Networks, {COMMA}; quick: one of each kind, at 50 layers; all: all 28.  [default: quick]"),
]
_Case = Annotated[
    str | None,
    typer.Option(help=f"A benchmark with a name, instead of networks, maps, stride and image size: {_CASES}."),
]
_Engines = Annotated[
    str | None,
    typer.Option(
        help=f"Engines, {COMMA}; quick: those that open a network in seconds; all: also those that compile.  "
        "[default: quick]"
    ),
]
_Precisions = Annotated[
    str | None,
    typer.Option(
        help=f"Precisions, {COMMA}: fp32, bf16, fp16, int8; fp32, and bf16 where the device has it, if left out."
    ),
]


def bench(
    context: typer.Context,
    models: _Models = None,
    case: _Case = None,
    features: Features = None,
    output_stride: OutputStride = None,
    devices: Annotated[str, typer.Option(help=f"Where to compute, {COMMA}: cpu; gpu or cuda, the first GPU.")] = "cpu",
    precisions: _Precisions = None,
    batch_sizes: Annotated[str | None, typer.Option(help=f"Batch sizes, {COMMA}.  [default: 1,8]")] = None,
    engines: _Engines = None,
    rounds: Annotated[int, typer.Option(help="Rounds in which the engines take turns.")] = 10,
    image_size: Annotated[int | None, typer.Option(help="Pixels on a side.  [default: 224]")] = None,
    threads: Threads = None,
    plan_backends: Annotated[
        str | None, typer.Option(help=f"What our own engine may use, {COMMA}; all that is installed if left out.")
    ] = None,
    plan_seconds: Annotated[
        float, typer.Option(help="Seconds of each round in which our own engine is planned.")
    ] = 10.0,
    out: Annotated[Path, typer.Option(help="Folder of the record and the tables; goes on where it stopped.")] = Path(
        "bench"
    ),
    list_engines: Annotated[bool, typer.Option("--list-engines", help="List the engines and stop.")] = False,
    json_output: Json = False,
) -> None:
    """Time networks in PyTorch, its compilers, other libraries and our engine, all doing the same, in turns.

    Every engine's logits, or every map, are compared with the plain network's before it is timed. A network that OUT
    already holds, with the same settings on the same machine, is not timed again.
    """
    if list_engines:
        refuse_others(context, {"list_engines"}, "--list-engines")
        _list_engines()
        return
    from resnexus.benchmark.bench import BenchSettings
    from resnexus.devices import device_kind
    from resnexus.machine import check_threads
    from resnexus.records import to_json

    given = {"models": models, "features": features, "output-stride": output_stride, "image-size": image_size}
    kinds = tuple(map(device_kind, names(devices)))
    named = _case(case, given, kinds)
    settings = BenchSettings(
        devices=kinds,
        precisions=named.precisions if precisions is None else tuple(names(precisions)),
        batch_sizes=named.batch_sizes if batch_sizes is None else tuple(numbers(batch_sizes, "--batch-sizes")),
        engines=named.engines if engines is None else _engines(engines),
        image_size=named.image_size if image_size is None else image_size,
        out_indices=named.out_indices if features is None else tuple(numbers(features, "--features")),
        output_stride=output_stride,
        rounds=rounds,
        threads=check_threads(threads),
        plan_backends=None if plan_backends is None else tuple(names(plan_backends)),
        plan_seconds=plan_seconds,
    )
    measured = list(named.models) if models is None else _models(models)
    record, was_there = _measured(measured, settings, out, quiet=json_output)
    if json_output:
        print(to_json(record))
        return
    from resnexus.report.speed import summary

    print(summary(record))
    if was_there:
        print(f"{out / 'bench.json'} has all of this already: nothing was measured")
    else:
        print(f"wrote {out / 'bench.json'} and {out / 'bench.md'}")


def _case(name: str | None, given: Mapping[str, object], devices: Sequence[str]) -> Case:
    """Return what is timed where nothing else is said: that of a name, or the usual."""
    from resnexus.benchmark.bench import usual_precisions
    from resnexus.benchmark.cases import Case, case
    from resnexus.errors import ResnexusError

    if name is None:
        return Case(
            name="",
            what="",
            models=tuple(_models("quick")),
            out_indices=(),
            image_size=224,
            precisions=max(map(usual_precisions, devices), key=len, default=()),
            batch_sizes=(1, 8),
            engines=_engines("quick"),
        )
    for option, value in given.items():
        if value is not None:
            raise ResnexusError(f"--{option} has no effect with --case {name}, which says it: leave one of the two out")
    return case(name)


def _models(text: str) -> list[str]:
    from resnexus.architectures.catalog import CATALOG, architecture
    from resnexus.comparison.series import QUICK
    from resnexus.errors import ResnexusError

    found = [architecture(name).name for name in {"quick": QUICK, "all": CATALOG}.get(text, names(text))]
    if not found:
        raise ResnexusError(f"--models {text!r}: expected networks {COMMA}, quick or all; see resnexus list")
    return found


def _engines(text: str) -> tuple[str, ...]:
    from resnexus.benchmark.engines import ENGINES, quick_engines

    return tuple({"quick": quick_engines(), "all": ENGINES}.get(text, names(text)))


def _measured(models: list[str], settings: BenchSettings, out: Path, *, quiet: bool) -> tuple[Bench, bool]:
    """Return the record, and whether it was there before; two processes that measure disturb each other."""
    from resnexus.benchmark.bench import Bench
    from resnexus.benchmark.run import run
    from resnexus.claim import claimed
    from resnexus.errors import ResnexusError
    from resnexus.files import write_text
    from resnexus.progress import Shown, Silent
    from resnexus.records import read_json, write_json
    from resnexus.report.speed import page

    path, page_path = out / "bench.json", out / "bench.md"
    if page_path.exists() and not path.exists():
        raise ResnexusError(
            f"{page_path} has no bench.json beside it, so it is not ours to replace: give another folder"
        )
    before = read_json(Bench, path) if path.exists() else None
    settings.check_here()
    settings.check_networks(models)
    with claimed(out, busy="another process measures in"):
        before = read_json(Bench, path) if path.exists() else before  # another may just have been done
        for record in run(models, settings, before=before, progress=Silent() if quiet else Shown(), title="bench"):
            write_json(record, path)
            write_text(page(record), page_path)
    return record, record == before


def _list_engines() -> None:
    from rich.table import Table

    from resnexus.benchmark.engines import ENGINES

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("engine", no_wrap=True)
    for title in ("what", "runs", "here"):
        table.add_column(title, overflow="fold")
    for row in ENGINES.values():
        runs = "; ".join(f"{device} {' '.join(found)}" for device, found in row.precisions.items())
        missing = row.missing()
        opens = "opens in seconds" if row.quick else "opens in minutes"
        table.add_row(row.name, row.what, runs, f"needs {', '.join(missing)}" if missing else opens)
    console().print(table)
