"""A manifest to records, shard by shard: whoever does a shard, and however often, its file has the same bytes.

A shard's file is written under a temporary name and renamed when it is whole, so that what lies there is done, and to
go on is to list what lies there. Nothing else is remembered.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from resnexus.artefacts.formats.registry import is_artefact
from resnexus.claim import claimed
from resnexus.errors import ResnexusError, printable
from resnexus.files import check_writable
from resnexus.packages import required
from resnexus.prediction.executors import Executor
from resnexus.prediction.inputs import check_local
from resnexus.prediction.manifest import Manifest, read_manifest, read_shard, shard_name
from resnexus.prediction.opening import open_runner
from resnexus.prediction.predictor import Predictor
from resnexus.prediction.runner import Card
from resnexus.prediction.settings import PredictionSettings
from resnexus.prediction.writing import WRITTEN_HERE, writing
from resnexus.progress import Progress, Silent
from resnexus.records import read_json, write_json
from resnexus.weights.pretrained import names_file

RECORD = "predictions.json"
THREADS = 1
"""In which a shard is computed."""
_BUSY = "another process predicts into"


@dataclass(frozen=True, kw_only=True)
class BulkRun:
    """What a folder of predictions is of, as `predictions.json` says; a start that asks otherwise is refused.

    Attributes:
        model: what answers.
        settings: how it is asked.
        manifest: of the images.
        threads: in which each answer is computed, by PyTorch, ONNX Runtime or OpenVINO.
    """

    model: Card
    settings: PredictionSettings
    manifest: Manifest
    threads: int = THREADS


@dataclass(frozen=True, kw_only=True)
class ShardTask:
    """One shard to predict; everything that its file depends on.

    Attributes:
        shard: file of the manifest.
        out: file of the records.
        model: as for `Predictor`.
        settings: how it is asked.
    """

    shard: str
    out: str
    model: str
    settings: PredictionSettings

    def __str__(self) -> str:
        return printable(self.out)


@dataclass(frozen=True, kw_only=True)
class Tally:
    """What the files of records hold.

    Attributes:
        images: records.
        errors: of them, those without an answer.
        shards: files.
    """

    images: int
    errors: int
    shards: int


def predict_shard(task: ShardTask) -> int:
    """Predict one shard into one file, whole or not at all; return how many records it has.

    A process keeps the network from shard to shard, and computes in one thread: how many there are would change the
    last digits of an answer, and many shards keep many processors busy.
    """
    count = 0
    with one_thread(), writing(task.out, task.settings) as write:
        predictor = _predictor(task.model, task.settings)
        for seen in predictor.seen(read_shard(Path(task.shard))):
            write(seen.prediction)
            count += 1
    return count


_kept: dict[tuple[str, PredictionSettings], Predictor] = {}


def _predictor(model: str, settings: PredictionSettings) -> Predictor:
    """Return the network that this process keeps from shard to shard."""
    key = model, settings
    if key not in _kept:
        release()
        _kept[key] = Predictor(model, settings)
    return _kept[key]


def release() -> None:
    """Close what `predict_shard` keeps in this process."""
    while _kept:
        _kept.popitem()[1].close()


def result_name(shard: int) -> str:
    """Return the name of a file of records."""
    return f"predictions-{shard:06d}.parquet"


def predict_manifest(
    model: str, manifest: Path, out: Path, settings: PredictionSettings, executor: Executor, progress: Progress
) -> Tally:
    """Predict every image of a manifest; started again, it goes on with the shards that are missing.

    Args:
        model: as for `Predictor`, by its name or the path of its file.
        manifest: folder that `write_manifest` wrote.
        out: folder for `predictions-000000.parquet` and so on, and `predictions.json`.
        settings: how the network is asked.
        executor: who does the shards.
        progress: where to report.

    Raises:
        ResnexusError: the network, the manifest or an option cannot be used, or the folder holds other predictions.
    """
    required("pyarrow")
    found = read_manifest(manifest)
    # Other processes may be in other folders.
    model = absolute(model)
    settings = settings if settings.weights is None else replace(settings, weights=absolute(settings.weights))
    check_local(out, WRITTEN_HERE)
    check_writable(out)
    with claimed(out, busy=_BUSY):
        card = _looked_at(model, settings, progress)
        _claim(out, BulkRun(model=card, settings=settings, manifest=found))
        missing = [shard for shard in range(found.shards) if not (out / result_name(shard)).is_file()]
        if len(missing) < found.shards:
            progress.say(f"{found.shards - len(missing):,} of {found.shards:,} shards are done already")
        tasks = (
            ShardTask(
                shard=str((manifest / shard_name(shard)).absolute()),
                out=str((out / result_name(shard)).absolute()),
                model=model,
                settings=settings,
            )
            for shard in missing
        )
        with progress.stage("predicting", sum(len(found.rows(shard)) for shard in missing)) as advance:
            try:
                for count in executor(predict_shard, tasks):
                    advance(count)
            finally:
                release()
    return verify(manifest, out)


def _looked_at(model: str, settings: PredictionSettings, progress: Progress) -> Card:
    """Open a network and close it, before the shards do; return what it is.

    What is wrong is told once, at once, and a download is done before all ask for it. An engine is planned here, in one
    thread as in the shards, so that they find its plan.
    """
    with one_thread():
        runner = open_runner(model, settings, progress)
        runner.close()
    for note in runner.card.notes:
        progress.say(f"{runner.card.name}: {note}")
    return runner.card


def verify(manifest: Path, out: Path, progress: Progress | None = None) -> Tally:
    """Prove that there is one record for every image of a manifest, and no other; count those without an answer.

    Raises:
        ResnexusError: a file of records is missing, cannot be read or belongs to no shard, or ids, their order or their
            count differ; names the first file.
    """
    found, images, errors = read_manifest(manifest), 0, 0
    for shard in range(found.shards):
        path = out / result_name(shard)
        if not path.is_file():
            raise ResnexusError(f"{printable(path)} is missing: start the same `resnexus predict` again")
        records, expected = _table(path, "id", "error"), _table(manifest / shard_name(shard), "id")
        if not records.column("id").equals(expected.column("id")):
            raise ResnexusError(f"{printable(path)} holds other ids than its shard of the manifest: remove it")
        images += records.num_rows
        errors += records.num_rows - records.column("error").null_count
        (progress or Silent()).say(f"{shard + 1:,} of {found.shards:,} files have the records that they should")
    ours = {result_name(shard) for shard in range(found.shards)}
    more = next((path for path in sorted(out.glob("predictions-*.parquet")) if path.name not in ours), None)
    if more is not None:
        raise ResnexusError(f"{printable(more)} is of no shard of the manifest: remove it")
    if images != found.images:
        raise ResnexusError(f"{printable(out)} holds {images:,} records for {found.images:,} images of the manifest")
    return Tally(images=images, errors=errors, shards=found.shards)


def absolute(name: str) -> str:
    """Return the whole path of a file of weights or of an artefact; another name as it is.

    A file beside that is called as a network or a tag does not count, as nowhere else.
    """
    path = Path(name)
    return str(path.absolute()) if names_file(name) or is_artefact(path) else name


def _table(path: Path, *columns: str) -> Any:
    parquet = required("pyarrow.parquet")
    try:
        return parquet.read_table(path, columns=list(columns))
    except (OSError, ValueError, KeyError) as error:  # pyarrow's own errors are among them
        raise ResnexusError(f"cannot read {printable(path)}: remove it, and start again") from error


@contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch, and what is opened meanwhile, compute in one thread: more would change an answer's last digits."""
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _claim(out: Path, run: BulkRun) -> None:
    """See that a folder is empty or holds what an earlier start of the same run wrote."""
    # How many workers there were, and how long they had, does not change an answer.
    comparable = replace(run, settings=_lasting(run.settings))
    if (out / RECORD).is_file():
        before = read_json(BulkRun, out / RECORD)
        if before != comparable:
            raise ResnexusError(
                f"{printable(out)} holds predictions of another network, other settings or another manifest: give "
                "another folder, or remove them"
            )
    elif any(not path.name.startswith(".") for path in out.iterdir()):
        raise ResnexusError(f"{printable(out)} is not empty: give another folder for the predictions")
    else:
        write_json(comparable, out / RECORD)


def _lasting(settings: PredictionSettings) -> PredictionSettings:
    plain = PredictionSettings()
    return replace(settings, workers=plain.workers, time_limit=plain.time_limit, memory_limit=plain.memory_limit)
