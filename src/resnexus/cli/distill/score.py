"""`resnexus distill score`: a teacher once over a pool of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnexus.cli.options import (
    TEACHER,
    ArchitectureName,
    Device,
    EngineName,
    Json,
    ManifestFolder,
    MemoryLimit,
    Precision,
    PrivateAddresses,
    TimeLimit,
    Weights,
    standard_input,
)

if TYPE_CHECKING:
    from resnexus.distillation.cache import Cache
    from resnexus.distillation.score import ScoreSettings

_POOL = "Files, folders, patterns, .tar files, addresses; - for a list on standard input."
_TEACHER = "Who is asked: a published network, a checkpoint's name, or a file of weights."
_SET = "How random views are drawn: crop_area=[0.25,1], flip=0, shift=2, policy=rand_augment; as often as needed."

PoolWorkers = Annotated[
    int | None,
    typer.Option(
        "--workers", help="Processes that read images for each process that scores; none on the CPU if left out."
    ),
]
AllowOneView = Annotated[
    bool, typer.Option("--allow-one-view", help="Take --views 1, to which students overfit; the cache says so.")
]
TopK = Annotated[int | None, typer.Option(help="Classes of each view that are kept; 10, or all, if left out.")]
ShardPictures = Annotated[
    int, typer.Option(help="Pictures of a shard: what is scored, and after a failure begun again, at a time.")
]
Processes = Annotated[
    int | None, typer.Option(help="Shards at a time; on the CPU as many as usable cores if left out.")
]


def score(
    teacher: Annotated[str, typer.Option(metavar=TEACHER, help=_TEACHER)],
    out: Annotated[Path, typer.Option(help="Folder of the cache; started again, it goes on.")],
    pool: Annotated[list[str] | None, typer.Argument(metavar="POOL", help=_POOL, show_default=False)] = None,
    manifest: ManifestFolder = None,
    views: Annotated[int, typer.Option(help="Random views of each picture, beside the plain one.")] = 4,
    allow_one_view: AllowOneView = False,
    topk: TopK = None,
    image_size: Annotated[
        int | None, typer.Option(help="Pixels on a side of the views; the teacher's own if left out.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the random views.")] = 0,
    changes: Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help=_SET)] = None,
    shard_pictures: ShardPictures = 1000,
    weights: Weights = None,
    architecture: ArchitectureName = None,
    engine: EngineName = "plain",
    precision: Precision = "fp32",
    device: Device = "cpu",
    batch_size: Annotated[int, typer.Option(help="Views per forward pass.")] = 32,
    workers: PoolWorkers = None,
    time_limit: TimeLimit = 30.0,
    memory_limit: MemoryLimit = 2048,
    private_addresses: PrivateAddresses = False,
    processes: Processes = None,
    json_output: Json = False,
) -> None:
    """Ask a teacher about every picture of a pool, several random views of each, and keep its answers.

    OUT gets cache.json and the shards: features of the plain view, the most probable classes of every view and the
    probability of all others together, and the seed of each view, so that training draws it again. A picture that
    cannot be read is recorded with its reason and costs no other. The same command goes on where it was interrupted.
    """
    from resnexus.data.augment import Augment
    from resnexus.devices import CPU, device_word
    from resnexus.distillation.score import ScoreSettings
    from resnexus.machine import usable_cores
    from resnexus.prediction.settings import PredictionSettings
    from resnexus.records import from_plain
    from resnexus.series.recipes import parse_values

    asking = PredictionSettings(
        architecture=architecture,
        weights=weights,
        engine=engine,
        precision=precision,
        device=device,
        batch_size=batch_size,
        workers=(0 if device_word(device) == CPU else usable_cores()) if workers is None else workers,
        time_limit=time_limit,
        memory_limit=memory_limit,
        private_addresses=private_addresses,
    )
    settings = ScoreSettings(
        views=views,
        topk=topk,
        seed=seed,
        image_size=image_size,
        augment=from_plain(Augment, parse_values(changes or []), where="--set"),
        allow_one_view=allow_one_view,
        shard_pictures=shard_pictures,
        asking=asking,
    )
    _tell(_scored(teacher, out, pool or [], manifest, settings, processes, json_output), as_json=json_output)


def _scored(
    teacher: str,
    out: Path,
    pool: list[str],
    manifest: Path | None,
    settings: ScoreSettings,
    processes: int | None,
    silent: bool,
) -> Cache:
    from contextlib import closing, nullcontext

    from resnexus.devices import CPU
    from resnexus.distillation.pictures import Listed, Manifested, Pool
    from resnexus.distillation.score import score as job
    from resnexus.errors import ResnexusError
    from resnexus.machine import usable_cores
    from resnexus.prediction.executors import executor_named
    from resnexus.prediction.inputs import Lines
    from resnexus.progress import Shown, Silent

    if (manifest is None) == (not pool):
        raise ResnexusError("give either a pool of pictures or --manifest FOLDER")
    if "-" in pool and len(pool) > 1:
        raise ResnexusError("- is the only input: standard input names all")
    if processes is None:
        processes = usable_cores() if settings.asking.device == CPU else 1
    executor, progress = executor_named("local", processes), Silent() if silent else Shown()
    with closing(Lines(standard_input())) if pool == ["-"] else nullcontext(pool) as named:
        pictures: Pool = Listed(named) if manifest is None else Manifested(manifest)
        return job(pictures, teacher, out, settings, executor=executor, progress=progress)


def _tell(cache: Cache, *, as_json: bool) -> None:
    from resnexus.distillation.score import errors
    from resnexus.records import to_json
    from resnexus.report.printing import counted

    record = cache.record
    if as_json:
        print(to_json(record))
        return
    bad = errors(cache)
    codes = ", ".join(f"{count} {code}" for code, count in bad.items())
    lost = f"; {sum(bad.values()):,} could not be read ({codes})" if bad else ""
    print(
        f"{counted(record.pictures, 'picture')}, {counted(record.views, 'view')} of each, the first {record.topk} of "
        f"{record.num_classes:,} classes{lost}; wrote {cache.folder}"
    )
