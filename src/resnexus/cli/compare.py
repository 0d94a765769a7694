"""`resnexus compare`: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from resnexus.cli.options import COMMA, DATA, AllowBadImages, Json, Workers, names, numbers, refuse_others

_FROM = "imagenet, ssld, or a file (.safetensors, .pdparams, .pth) that fits every network"

_Task = Annotated[
    str,
    typer.Option(
        metavar="classification|segmentation|detection",
        help="classification; or detection or segmentation, of digits on canvases with the small siblings as backbones "
        "or of photographs (--data coco:FOLDER or voc:FOLDER). These two time nothing and take no option of timing.",
    ),
]
_Data = Annotated[
    str,
    typer.Option(help=f"{DATA} Other tasks: digits, coco:FOLDER or voc:FOLDER."),
]
_Out = Annotated[Path, typer.Option(help="Folder of the report; weights and records are kept there too.")]
_Models = Annotated[
    str | None,
    typer.Option(help=f"Networks, {COMMA}; by default one of each kind, small ones for embedded data."),
]
_Weights = Annotated[
    str | None,
    typer.Option(metavar="TAG|FILE|random", help=f"Weights to start from: {_FROM}; random if left out."),
]
_ImageSize = Annotated[
    int | None, typer.Option(help="Pixels on a side of a folder's images; 224 if left out, for the other tasks 320.")
]
_Epochs = Annotated[
    int | None,
    typer.Option(
        help="Passes over the training images. If left out: 20; on canvases 9 for segmentation and 6 for detection; on "
        "photographs 12."
    ),
]
_TrainBatch = Annotated[
    int | None, typer.Option(help="Images per training step; 128 if left out, for the other tasks 8.")
]
_LearningRate = Annotated[
    float | None,
    typer.Option(
        help="Learning rate at the start. If left out: 0.1 x train batch / 256; on canvases 0.01 for segmentation and "
        "0.004 for detection; on photographs 0.0005."
    ),
]
_StageLr = Annotated[
    str | None,
    typer.Option(
        metavar="FACTORS",
        help=f"For detection and segmentation: factors of the learning rate, {COMMA}, for the backbone's stem and "
        "first stage, each further stage, and pyramid and head. With --weights, the first stage is trained, too.",
    ),
]
_OutputStride = Annotated[
    int | None,
    typer.Option(help="For segmentation: 8 or 16 for last maps as large as at that stride, by dilated backbones."),
]
_Device = Annotated[
    str,
    typer.Option(
        metavar="auto|cpu|gpu",
        help="Where latency is measured: cpu; gpu or cuda, the first GPU; auto, a GPU if there is one. Trainings take "
        "a GPU if there is one.",
    ),
]
_Processes = Annotated[
    int | None,
    typer.Option(
        help="Trainings at a time, each with one thread; if left out, one for each core, at most 8, for embedded data "
        "on the CPU, and else 1."
    ),
]
_Precisions = Annotated[
    str | None,
    typer.Option(
        help=f"Precisions to time, {COMMA}: fp32, bf16, fp16; fp32, and bf16 where the device has it, if left out."
    ),
]

_Series = Annotated[
    str,
    typer.Option(
        metavar="quick|full|none|FILE",
        help="Time the series at 224x224: quick (a few networks), full (all) or none; or the bench.json of "
        "`resnexus bench`, to take the latencies from.",
    ),
]


def compare(
    context: typer.Context,
    task: _Task = "classification",
    data: _Data = "digits",
    out: _Out = Path("report"),
    models: _Models = None,
    weights: _Weights = None,
    epochs: _Epochs = None,
    seeds: Annotated[int, typer.Option(help="Trainings per network; their spread is reported.")] = 3,
    image_size: _ImageSize = None,
    train_batch: _TrainBatch = None,
    learning_rate: _LearningRate = None,
    stage_lr: _StageLr = None,
    output_stride: _OutputStride = None,
    processes: _Processes = None,
    workers: Workers = 0,
    allow_bad_images: AllowBadImages = False,
    batch_sizes: Annotated[str, typer.Option(help=f"Batch sizes to time, {COMMA}.")] = "1,4,8",
    precisions: _Precisions = None,
    device: _Device = "cpu",
    series: _Series = "quick",
    json_output: Json = False,
) -> None:
    """Train, evaluate, count and time networks on your data, and write the series' page anew.

    A training that OUT already holds, under the same conditions, is not done again; those under other conditions stay
    beside it.
    """
    _refuse(context, task)
    chosen: dict[str, Any] = {"epochs": epochs, "batch_size": train_batch, "learning_rate": learning_rate}
    chosen |= {"stage_lr": _factors(stage_lr), "output_stride": output_stride}
    given = {name: value for name, value in chosen.items() if value is not None}
    networks = names(models) if models is not None else None
    common = {
        "data": data,
        "out": out,
        "models": networks,
        "weights": weights,
        "image_size": image_size,
        "seeds": seeds,
        "processes": processes,
    }
    if task != "classification":
        _compare_dense(task, given, json_output=json_output, **common)
        return
    from resnexus.comparison import compare as job
    from resnexus.comparison.settings import Settings
    from resnexus.comparison.stopwatch import Timing
    from resnexus.progress import Shown, Silent
    from resnexus.records import to_json

    result = job.compare(
        **common,  # type: ignore[arg-type]
        settings=Settings(**given, workers=workers, allow_bad_images=allow_bad_images),
        timing=Timing(
            precisions=tuple(names(precisions or "")),
            batch_sizes=tuple(numbers(batch_sizes, "--batch-sizes")),
            device=device,
        ),
        series=Path(series) if series.endswith(".json") else series,  # type: ignore[arg-type]  # checked by compare
        progress=Silent() if json_output else Shown(),
    )
    print(to_json(result) if json_output else f"wrote {out / 'index.html'}")


_DENSE_ALONE = {"stage_lr", "output_stride"}
_DENSE_OPTIONS = {
    *("task", "data", "out", "models", "weights", "epochs", "seeds", "processes"),
    *("image_size", "train_batch", "learning_rate", "json_output"),
    *_DENSE_ALONE,
}


def _compare_dense(task: str, chosen: dict[str, Any], *, json_output: bool, **options: Any) -> None:
    from dataclasses import replace

    from resnexus.comparison.dense import compare as job
    from resnexus.comparison.dense.settings import defaults
    from resnexus.progress import Shown, Silent
    from resnexus.records import to_json

    settings = replace(defaults(task, digits=options["data"] == "digits"), **chosen)
    result = job.compare_dense(
        task,  # type: ignore[arg-type]  # which has settings
        settings=settings,
        progress=Silent() if json_output else Shown(),
        **options,
    )
    print(to_json(result) if json_output else f"wrote {options['out'] / 'index.html'}")


def _refuse(context: typer.Context, task: str) -> None:
    """Refuse options that were typed and have no effect on a task."""
    every = {parameter.name or "" for parameter in context.command.params}
    refuse_others(context, every - _DENSE_ALONE if task == "classification" else _DENSE_OPTIONS, f"--task {task}")


def _factors(text: str | None) -> tuple[float, ...] | None:
    from resnexus.errors import ResnexusError

    try:
        return None if text is None else tuple(float(part) for part in names(text))
    except ValueError:
        raise ResnexusError(f"--stage-lr {text!r}: expected numbers {COMMA}, such as 0.05,0.05,0.1,0.15,1") from None
