"""`resnexus predict`: pictures to records, one or a hundred million."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnexus.cli.options import (
    READING,
    ArchitectureName,
    BatchSize,
    Device,
    EngineName,
    Json,
    ManifestFolder,
    MemoryLimit,
    MultiLabel,
    Precision,
    PrivateAddresses,
    TimeLimit,
    Weights,
    command_line,
    refuse_others,
    standard_input,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resnexus.prediction.bulk import Tally
    from resnexus.prediction.settings import PredictionSettings

SOME_FAILED = 3
"""Exit code when every input has its record and some records are errors."""
_INPUTS = "Files, folders, patterns, http(s) URLs, addresses that fsspec opens; - for a list on standard input."
_OUT = (
    "Records, by the suffix: .jsonl, .csv, .parquet; - for JSON lines on standard output. With --manifest a folder. "
    "predictions.jsonl if left out."
)
_MODEL = (
    "A published network, NETWORK or NETWORK:TAG, a checkpoint's name, a file of weights, or what `resnexus export` "
    "wrote."
)
_ON = "Who predicts a manifest: local, this machine; ray, started here; or a cluster at an address."


Inputs = Annotated[list[str] | None, typer.Argument(metavar="INPUT", help=_INPUTS, show_default=False)]
Model = Annotated[str | None, typer.Option("--model", metavar="MODEL|FILE", help=_MODEL)]
Threshold = Annotated[
    float | None, typer.Option(help="Least probability of a class that is named; 0, or 0.5 with --multi-label.")
]
Heatmap = Annotated[
    Path | None, typer.Option(help="Folder for pictures of where the first class was seen, and a page of them.")
]
Processes = Annotated[
    int | None,
    typer.Option(help="Shards of a manifest at a time; as many as usable cores, or as a cluster has, if left out."),
]
Workers = Annotated[
    int | None, typer.Option(help=f"{READING}; as many as usable cores, with --manifest 1, if left out.")
]
Verify = Annotated[
    bool, typer.Option("--verify", help="Predict nothing: prove that OUT has a record for all of the manifest.")
]


_OF_VERIFY = {"verify", "manifest", "out", "json_output"}


def predict(
    context: typer.Context,
    inputs: Inputs = None,
    model: Model = None,
    out: Annotated[str | None, typer.Option(metavar="PATH", help=_OUT)] = None,
    weights: Weights = None,
    architecture: ArchitectureName = None,
    topk: Annotated[int, typer.Option(help="Classes named at most.")] = 5,
    threshold: Threshold = None,
    multi_label: MultiLabel = None,
    embeddings: Annotated[bool, typer.Option("--embeddings", help="Add the features before the last layer.")] = False,
    heatmap: Heatmap = None,
    engine: EngineName = "plain",
    precision: Precision = "fp32",
    device: Device = "cpu",
    batch_size: BatchSize = 32,
    workers: Workers = None,
    time_limit: TimeLimit = 30.0,
    memory_limit: MemoryLimit = 2048,
    private_addresses: PrivateAddresses = False,
    trust_code: Annotated[
        bool, typer.Option("--trust-code", help="Open an artefact that can run code, which *.pt2 is.")
    ] = False,
    manifest: ManifestFolder = None,
    processes: Processes = None,
    on: Annotated[str, typer.Option(metavar="local|ray|ray://HOST:PORT", help=_ON)] = "local",
    verify: Verify = False,
    json_output: Json = False,
) -> None:
    """Say what is in pictures: one record for every input, in order, an error code where there is no answer.

    Exit code 0: all are answered; 3: some records are errors; 2: an error ended it before all had one. Beside OUT,
    NAME.run.json says what answered and how it was asked.
    """
    from resnexus.machine import usable_cores
    from resnexus.prediction.settings import PredictionSettings

    if verify:
        refuse_others(context, _OF_VERIFY, "--verify")
        _verify(manifest, out, as_json=json_output)
        return
    chosen = _checked(inputs, model, out, manifest, heatmap, alone=on == "local" and processes is None)
    default_workers = usable_cores() if manifest is None else 1
    settings = PredictionSettings(
        architecture=architecture,
        weights=weights,
        engine=engine,
        precision=precision,
        device=device,
        batch_size=batch_size,
        topk=topk,
        threshold=threshold,
        multi_label=multi_label,
        embeddings=embeddings,
        heatmaps=heatmap is not None,
        workers=default_workers if workers is None else workers,
        time_limit=time_limit,
        memory_limit=memory_limit,
        private_addresses=private_addresses,
        trust_code=trust_code,
    )
    if manifest is not None:
        _predict_manifest(chosen, manifest, Path(out or ""), settings, on, processes, as_json=json_output)
    else:
        _predict_inputs(chosen, inputs or [], out or "predictions.jsonl", settings, heatmap, as_json=json_output)


def _checked(
    inputs: list[str] | None,
    model: str | None,
    out: str | None,
    manifest: Path | None,
    heatmap: Path | None,
    *,
    alone: bool,
) -> str:
    """Return the network, if the options go together."""
    from resnexus.errors import ResnexusError

    if model is None:
        raise ResnexusError("which network? Give --model NETWORK[:TAG] or --model FILE; see resnexus list")
    if (manifest is None) == (not inputs):
        raise ResnexusError("give either inputs or --manifest FOLDER")
    if manifest is not None and (heatmap is not None or out is None):
        raise ResnexusError("with --manifest, give --out FOLDER and no --heatmap")
    if manifest is None and not alone:
        raise ResnexusError("--on and --processes have no effect without --manifest")
    return model


def _predict_inputs(
    model: str, inputs: Sequence[str], out: str, settings: PredictionSettings, heatmap: Path | None, *, as_json: bool
) -> None:
    import sys
    from contextlib import closing, nullcontext

    from resnexus.errors import ResnexusError
    from resnexus.prediction.inputs import Lines, Listing
    from resnexus.prediction.job import predict_to_file, run_path
    from resnexus.prediction.writing import STANDARD_OUTPUT
    from resnexus.progress import Shown, Silent
    from resnexus.records import to_json

    if as_json and out == STANDARD_OUTPUT:
        raise ResnexusError("--json and --out - would both print: leave one out")
    if "-" in inputs and len(inputs) > 1:
        raise ResnexusError("- is the only input: standard input names all")
    listed = closing(Lines(standard_input())) if "-" in inputs else nullcontext(Listing(inputs))
    with listed as listing:
        run = predict_to_file(
            model,
            listing,
            out,
            settings,
            heatmaps=heatmap,
            command=command_line(),
            progress=Silent() if as_json else Shown(),
        )
    if as_json:
        print(to_json(run))
    else:
        written = [] if out == STANDARD_OUTPUT else [out, str(run_path(Path(out)))]
        written += [] if heatmap is None else [str(heatmap / "index.html")]
        print("; ".join([run.sentence, *([f"wrote {', '.join(written)}"] if written else [])]), file=sys.stderr)
    if run.failed:
        raise typer.Exit(SOME_FAILED)


def _predict_manifest(
    model: str,
    manifest: Path,
    out: Path,
    settings: PredictionSettings,
    on: str,
    processes: int | None,
    *,
    as_json: bool,
) -> None:
    from resnexus.prediction.bulk import predict_manifest
    from resnexus.prediction.executors import executor_named
    from resnexus.progress import Shown, Silent

    executor = executor_named(on, processes, settings.device)
    _tell(predict_manifest(model, manifest, out, settings, executor, Silent() if as_json else Shown()), as_json=as_json)


def _verify(manifest: Path | None, out: str | None, *, as_json: bool) -> None:
    from resnexus.errors import ResnexusError
    from resnexus.prediction.bulk import verify

    if manifest is None or out is None:
        raise ResnexusError("--verify compares two folders: give --manifest and --out")
    _tell(verify(manifest, Path(out)), as_json=as_json)


def _tell(tally: Tally, *, as_json: bool) -> None:
    from resnexus.records import to_json

    if as_json:
        print(to_json(tally))
    else:
        print(
            f"{tally.images:,} records in {tally.shards:,} files, one for every image of the manifest; "
            f"{tally.errors:,} without an answer"
        )
    if tally.errors:
        raise typer.Exit(SOME_FAILED)
